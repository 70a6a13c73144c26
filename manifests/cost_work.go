package manifests

import (
	"fmt"
	"strconv"
	"time"

	"github.com/shopspring/decimal"
)

// Labels and annotations that help to price a workload.
const (
	// DurationKey says how long one run takes, as label or annotation: 90s, 10m, 1h30m.
	DurationKey = "conductor.dev/expected-duration"
)

// builtInRates are OpenCost's default list prices, in USD.
var builtInRates = func() *RateCard {
	d := decimal.RequireFromString
	gpu, storage := d("0.95"), d("0.04")
	return &RateCard{Name: "built-in", Currency: "USD", CPUCoreHour: d("0.031611"), MemoryGiBHour: d("0.004237"), GPUHour: &gpu, StorageGiBMonth: &storage,
		DefaultCPU: d("0.1"), DefaultMemory: decimal.New(128<<20, 0), Nodes: map[Environment]int64{}, builtIn: true}
}()

// costItem is the monthly cost of one workload, or of the volumes it claims.
type costItem struct {
	r      *resource
	env    Environment
	tenant TenantID
	amount decimal.Decimal
	// unit is the cost of one replica, for what an autoscaler may scale.
	unit     decimal.Decimal
	scalable bool
	at       Pos // of what a person would change: replicas, requests, metadata
}

// assumption is a guess that prices rest on, counted per file.
type assumption struct {
	text string // with one %s for the number of cases
	n    int
}

// pricer prices one resource into an evaluation.
type pricer struct {
	*evaluation
	judge *judge
	r     *resource
	placed
	at Pos
}

func (e *evaluation) price(j *judge, r *resource, where placed) {
	if r.kind == nil || r.kind.autoscaler {
		return
	}
	p := &pricer{e, j, r, where, r.kindAt}
	if meta := r.root.field("metadata"); meta != nil {
		p.at = meta.pos()
	}
	spec := r.root.at("spec")
	switch r.group {
	case Group:
		if w, ok := r.own.(*Workflow); ok {
			p.workflow(w)
		}
	case "argoproj.io":
		p.argo()
	case "tekton.dev":
		p.tekton(spec)
	case "serving.knative.dev":
		p.knative(spec)
	default:
		p.kubernetes(spec)
	}
}

func (p *pricer) kubernetes(spec *node) {
	switch p.r.Kind {
	case "PersistentVolumeClaim":
		p.volume(spec, decimal.New(1, 0))
	case "Service":
		if spec.at("type").text() == "LoadBalancer" {
			p.loadBalancer()
		}
	case "Pod":
		p.always(decimal.New(1, 0), false)
	case "DaemonSet":
		nodes, known := p.judge.rates.Nodes[p.env]
		if !known {
			p.skip(fmt.Sprintf("the rate card doesn't say how many nodes %s has", orElse(string(p.env), "its environment")))
			return
		}
		p.always(decimal.New(nodes, 0), false)
	case "Job":
		if p.suspended(spec) {
			return
		}
		p.run(p.jobRun(spec), decimal.New(1, 0), "%s is counted as one run a month")
	case "CronJob":
		if p.suspended(spec) {
			return
		}
		runs, err := runsPerMonth(spec.at("schedule").text(), spec.at("timeZone").text(), p.judge.now)
		if err != nil {
			p.skip(err.Error())
			return
		}
		p.run(p.jobRun(spec.at("jobTemplate", "spec")), runs, "")
	default:
		replicas, ok := p.count(spec, "replicas", 1)
		if !ok {
			return
		}
		p.always(replicas, true)
		for _, t := range spec.at("volumeClaimTemplates").list() {
			p.volume(t.at("spec"), replicas)
		}
	}
}

// count reads a whole number; absent gives the default of Kubernetes.
func (p *pricer) count(n *node, key string, absent int64) (decimal.Decimal, bool) {
	f := n.field(key)
	if f == nil || f.value.null() {
		return decimal.New(absent, 0), true
	}
	v, err := strconv.ParseInt(f.value.text(), 10, 32)
	if err != nil || v < 0 {
		p.skip(fmt.Sprintf("%s isn't a whole number", key))
		return decimal.Zero, false
	}
	p.at = f.pos()
	return decimal.New(v, 0), true
}

func (p *pricer) suspended(spec *node) bool {
	return spec.at("suspend").text() == "true"
}

// pod prices one pod for an hour, and notes what was assumed.
func (p *pricer) pod(spec *node) decimal.Decimal {
	s := podSum{rates: p.judge.rates}
	req := s.pod(spec)
	p.assume(s)
	return p.judge.rates.hourly(req)
}

func (p *pricer) assume(s podSum) {
	for _, reason := range s.unpriced {
		p.skip(reason)
	}
	source := "the rate card's default"
	if p.judge.rates.builtIn {
		source = "the built-in default"
	}
	if s.noCPU > 0 {
		p.guess(s.noCPU, fmt.Sprintf("%%s without a CPU request counted as %s cores each (%s)", s.rates.DefaultCPU, source))
	}
	if s.noMemory > 0 {
		p.guess(s.noMemory, fmt.Sprintf("%%s without a memory request counted as %s GiB each (%s)", gib(s.rates.DefaultMemory).Round(6), source))
	}
}

func (p *pricer) guess(n int, text string) {
	for i := range p.assumed {
		if p.assumed[i].text == text {
			p.assumed[i].n += n
			return
		}
	}
	p.assumed = append(p.assumed, assumption{text, n})
}

// always prices pods that run all month.
func (p *pricer) always(replicas decimal.Decimal, scalable bool) {
	spec := p.r.root.at(p.r.kind.pod...)
	if spec == nil {
		p.skip("it has no pod template")
		return
	}
	unit := p.pod(spec).Mul(hoursPerMonth)
	p.add(unit.Mul(replicas), unit, scalable)
}

func (p *pricer) add(amount, unit decimal.Decimal, scalable bool) {
	p.items = append(p.items, &costItem{p.r, p.env, p.tenant, amount, unit, scalable, p.at})
}

func (p *pricer) skip(reason string) {
	p.unpriced = append(p.unpriced, Unpriced{Resource: p.r.title(), File: p.r.file.path, Line: p.at.Line, Environment: p.env, Tenant: p.tenant, Reason: clean(reason, 160)})
}

// work is the pod-hours of one run in money, or a reason why it isn't known.
type work struct {
	cost   decimal.Decimal
	reason string
}

func (p *pricer) run(w work, runs decimal.Decimal, note string) {
	if w.reason != "" {
		p.skip(w.reason)
		return
	}
	if note != "" {
		p.guess(1, note)
	}
	p.add(w.cost.Mul(runs), decimal.Zero, false)
}

// jobRun prices one run of a Job: every completion takes the expected duration.
func (p *pricer) jobRun(spec *node) work {
	pod := spec.at("template", "spec")
	if pod == nil {
		return work{reason: "it has no pod template"}
	}
	parallel, ok := p.count(spec, "parallelism", 1)
	if !ok {
		return work{}
	}
	completions, ok := p.count(spec, "completions", parallel.IntPart())
	if !ok {
		return work{}
	}
	hours, reason := p.duration(spec.at("activeDeadlineSeconds"), pod.at("activeDeadlineSeconds"))
	if reason != "" {
		return work{reason: reason}
	}
	if parallel.IsZero() {
		return work{}
	}
	return work{cost: p.pod(pod).Mul(hours).Mul(completions)}
}

const noDuration = "how long a run takes isn't known: set the annotation " + DurationKey

// duration is the hours that one run takes: as its label or annotation says,
// else the deadline as the longest it can be.
func (p *pricer) duration(deadlines ...*node) (decimal.Decimal, string) {
	for _, where := range []string{"annotations", "labels"} {
		n := p.r.meta.at(where, DurationKey)
		if n.null() {
			continue
		}
		d, err := parseDuration(n.text())
		if err != nil {
			return decimal.Zero, err.Error()
		}
		return hours(d), ""
	}
	for _, n := range deadlines {
		if s, err := strconv.ParseInt(n.text(), 10, 32); err == nil && s > 0 {
			p.guess(1, "%s without an expected duration counted as running until its deadline")
			return hours(time.Duration(s) * time.Second), ""
		}
	}
	return decimal.Zero, noDuration
}

func hours(d time.Duration) decimal.Decimal {
	return decimal.New(int64(d), 0).DivRound(decimal.New(int64(time.Hour), 0), 12)
}

func (p *pricer) volume(spec *node, n decimal.Decimal) {
	size := spec.at("resources", "requests", "storage")
	rate := p.judge.rates.StorageGiBMonth
	switch q, err := parseQuantity(size.text()); {
	case size.null():
		p.skip("the claim requests no storage")
	case err != nil || q.IsNegative():
		p.skip("the storage request isn't a quantity")
	case rate == nil:
		p.skip("the rate card has no price for storage")
	default:
		p.add(gib(q).Mul(*rate).Mul(n), decimal.Zero, false)
	}
}

func (p *pricer) loadBalancer() {
	if rate := p.judge.rates.LoadBalancerMonth; rate != nil {
		p.add(*rate, decimal.Zero, false)
		return
	}
	p.skip("the rate card has no price for load balancers")
}

// knative prices the replicas that are kept: from min-scale, to the middle of
// min and max where a maximum is set.
func (p *pricer) knative(spec *node) {
	notes := spec.at("template", "metadata", "annotations")
	scale := func(keys ...string) int64 {
		for _, k := range keys {
			if v, err := strconv.ParseInt(notes.at("autoscaling.knative.dev/"+k).text(), 10, 32); err == nil && v > 0 {
				return v
			}
		}
		return 0
	}
	low, high := scale("min-scale", "minScale"), scale("max-scale", "maxScale")
	if low == 0 {
		p.skip("it scales to zero; how much it runs isn't known")
		return
	}
	replicas := decimal.New(low, 0)
	if high > low {
		replicas = midpoint(low, high)
		p.guess(1, "%s counted at the middle of its minimum and maximum scale")
	}
	p.always(replicas, false)
}

func midpoint(low, high int64) decimal.Decimal {
	return decimal.New(low+high, 0).Mul(decimal.New(5, -1))
}

// argo prices a Workflow as one run a month and a CronWorkflow by its schedules;
// templates are definitions, which cost nothing until something runs them.
func (p *pricer) argo() {
	spec := p.r.root.at(p.r.kind.argoSpec...)
	switch p.r.Kind {
	case "Workflow":
		if !p.suspended(spec) {
			p.run(p.argoRun(spec), decimal.New(1, 0), "%s is counted as one run a month")
		}
	case "CronWorkflow":
		cron := p.r.root.at("spec")
		if p.suspended(cron) {
			return
		}
		schedules := cron.at("schedules").list()
		if s := cron.at("schedule"); !s.null() {
			schedules = append([]*node{s}, schedules...)
		}
		if len(schedules) > 100 {
			p.skip("it has more than 100 schedules")
			return
		}
		var runs decimal.Decimal
		for _, s := range schedules {
			n, err := runsPerMonth(s.text(), cron.at("timezone").text(), p.judge.now)
			if err != nil {
				p.skip(err.Error())
				return
			}
			runs = runs.Add(n)
		}
		p.run(p.argoRun(spec), runs, "")
	}
}

// argoRun prices one run: the pod of each template once, for the template's
// deadline or the expected duration of the whole run.
func (p *pricer) argoRun(spec *node) work {
	if !spec.at("workflowTemplateRef").null() {
		return work{reason: "what it runs is defined in a WorkflowTemplate"}
	}
	whole, reason := p.duration(spec.at("activeDeadlineSeconds"))
	if reason != "" {
		return work{reason: reason}
	}
	var w work
	pods := 0
	walkArgoTemplates(spec, func(t *node) {
		if loops(t) {
			w.reason = "it loops over a list, so how many pods it runs isn't known"
		}
		if !makesPod(t) {
			return
		}
		pods++
		s := podSum{rates: p.judge.rates}
		var req request
		for _, k := range []string{"container", "script"} {
			if c := t.at(k); !c.null() {
				req = req.add(s.container(c, true))
			}
		}
		for _, c := range append(t.at("containerSet", "containers").list(), t.at("sidecars").list()...) {
			req = req.add(s.container(c, true))
		}
		var init request
		for _, c := range t.at("initContainers").list() {
			init = init.max(s.container(c, false))
		}
		p.assume(s)
		d := whole
		if n, err := strconv.ParseInt(t.at("activeDeadlineSeconds").text(), 10, 32); err == nil && n > 0 {
			d = decimal.Min(d, hours(time.Duration(n)*time.Second))
		}
		w.cost = w.cost.Add(p.judge.rates.hourly(req.max(init)).Mul(d))
	})
	if pods > 1 && w.reason == "" {
		p.guess(1, "%s counted with each template's pod running once, for the whole duration")
	}
	return w
}

func loops(t *node) bool {
	over := func(n *node) bool {
		return n.field("withItems") != nil || n.field("withParam") != nil || n.field("withSequence") != nil
	}
	for _, task := range t.at("dag", "tasks").list() {
		if over(task) {
			return true
		}
	}
	for _, group := range t.at("steps").list() {
		for _, step := range group.list() {
			if over(step) {
				return true
			}
		}
	}
	return false
}

// tekton prices runs whose steps are written out; tasks and pipelines are
// definitions.
func (p *pricer) tekton(spec *node) {
	var tasks []*node
	switch p.r.Kind {
	case "TaskRun":
		tasks = append(tasks, spec.at("taskSpec"))
	case "PipelineRun":
		for _, t := range append(spec.at("pipelineSpec", "tasks").list(), spec.at("pipelineSpec", "finally").list()...) {
			tasks = append(tasks, t.at("taskSpec"))
		}
		if len(tasks) == 0 {
			tasks = append(tasks, nil)
		}
	default:
		return
	}
	hours, reason := p.duration()
	if reason != "" {
		p.skip(reason)
		return
	}
	var w work
	for _, t := range tasks {
		if t.null() {
			p.skip("what it runs is defined in another object")
			return
		}
		s := podSum{rates: p.judge.rates}
		var req request
		for _, c := range append(t.at("steps").list(), t.at("sidecars").list()...) {
			req = req.add(s.container(c, true))
		}
		p.assume(s)
		w.cost = w.cost.Add(p.judge.rates.hourly(req).Mul(hours))
	}
	p.run(w, decimal.New(1, 0), "%s is counted as one run a month")
}

// workflow prices the jobs of our own kind: with a schedule by its runs, with a
// duration alone as one run a month, with neither as running all month.
func (p *pricer) workflow(w *Workflow) {
	runs := decimal.New(1, 0)
	if w.Schedule != "" {
		var err error
		if runs, err = runsPerMonth(w.Schedule, w.TimeZone, p.judge.now); err != nil {
			p.skip(err.Error())
			return
		}
	}
	meta := p.at
	for i := range w.Jobs {
		job := &w.Jobs[i]
		p.at = meta
		for _, at := range []Pos{job.At, job.resourcesAt, job.replicasAt} {
			if at.Line > 0 {
				p.at = at
			}
		}
		replicas := decimal.New(1, 0)
		if job.Replicas != nil {
			replicas = decimal.New(*job.Replicas, 0)
		}
		s := podSum{rates: p.judge.rates}
		container := &node{kind: mappingNode, fields: []field{{key: "name", value: &node{value: job.Name, tag: "!!str"}}, {key: "resources", value: job.resources}}}
		unit := p.judge.rates.hourly(s.container(container, true))
		p.assume(s)
		h := hoursPerMonth
		switch {
		case job.Duration > 0:
			h = hours(job.Duration).Mul(runs)
			if w.Schedule == "" {
				p.guess(1, "%s is counted as one run a month")
			}
		case w.Schedule != "":
			p.skip(fmt.Sprintf("how long the job %q takes isn't known: set its duration", clean(job.Name, 80)))
			continue
		}
		p.add(unit.Mul(replicas).Mul(h), decimal.Zero, false)
	}
}
