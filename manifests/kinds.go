package manifests

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
	"github.com/shopspring/decimal"
)

// Group is the API group of Conductor's own kinds, Version their only version.
const (
	Group   = "conductor.dev"
	Version = "v1"
)

// Tenant declares a tenant: `conductor.dev/v1 Tenant`, metadata.name is its id.
type Tenant struct {
	ID          TenantID
	DisplayName string
	Regime      string // fedramp-high, fedramp-moderate, cjis, hipaa, pci, none; "" not said
	Owners      []string
	// Namespaces and Paths (doublestar globs) attribute objects that need no tag.
	Namespaces []string
	Paths      []string
	At         Pos
}

// Budget is a monthly amount for an environment, or for one tenant in it.
type Budget struct {
	Name        string
	Environment Environment
	Tenant      TenantID // "" for the whole environment
	Amount      Money
	// WarnAtPercent are the shares of the amount from which to warn; 80 by default.
	WarnAtPercent []int64
	At            Pos
	currencyAt    Pos
}

// RateCard says what things cost.
type RateCard struct {
	Name              string
	Currency          string
	CPUCoreHour       decimal.Decimal
	MemoryGiBHour     decimal.Decimal
	GPUHour           *decimal.Decimal // nil: not priced
	StorageGiBMonth   *decimal.Decimal
	LoadBalancerMonth *decimal.Decimal
	DefaultCPU        decimal.Decimal // cores, for containers that request none
	DefaultMemory     decimal.Decimal // bytes
	Nodes             map[Environment]int64
	At                Pos
	builtIn           bool
}

// SystemAllowlist names workloads that run without a tenant on purpose.
type SystemAllowlist struct {
	Name string
	Jobs []AllowedJob
	At   Pos
}

// AllowedJob is one exception; kind, namespace and name match exactly. A job of
// a Workflow is kind "Workflow" and name "workflow/job".
type AllowedJob struct {
	Kind, Namespace, Name string
	Reason, ApprovedBy    string
	Expires               time.Time // the end of the day named, UTC
	At                    Pos
}

// Workflow is a set of jobs of one tenant.
type Workflow struct {
	Environment Environment
	Schedule    string // five cron fields, or @daily and the like; "" none
	TimeZone    string // IANA; "" is UTC
	Jobs        []WorkflowJob
}

// WorkflowJob is one job of a Workflow.
type WorkflowJob struct {
	Name      string
	Tenant    TenantID // "" inherits the Workflow's
	Image     string
	Replicas  *int64
	Duration  time.Duration // 0 when not said
	DependsOn []Dependency
	System    bool
	At        Pos

	tenantAt, systemAt, replicasAt, resourcesAt Pos
	resources                                   *node // {requests, limits}
}

// Dependency is an entry of dependsOn: "job", or "workflow/job".
type Dependency struct {
	Name string
	At   Pos
}

var (
	labelValue   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`)
	currencyCode = regexp.MustCompile(`^[A-Z]{3}$`)
	imageText    = regexp.MustCompile(`^[^\s]{1,512}$`)
)

const wantName = "a name of letters, digits, '-', '_' and '.', at most 63 long"

var regimes = []string{"fedramp-high", "fedramp-moderate", "fedramp-low", "cjis", "hipaa", "pci", "none"}

// leftAlone are the kinds of conductor.dev that other parts decode.
var leftAlone = []string{"SLO", "Control", "EvidenceHook", "AlertRoute", "ReleaseCut"}

var ownKinds = append([]string{"Tenant", "Workflow", "Budget", "RateCard", "SystemAllowlist"}, leftAlone...)

// decodeOwn decodes a document of conductor.dev. The result is a *Tenant,
// *Budget, *RateCard, *SystemAllowlist or *Workflow, or nil for kinds that are left
// alone and documents without a usable name.
func decodeOwn(f *File, r *resource) any {
	o := object{f, r.title(), r.root, "", r.kindAt}
	if r.version != Version {
		at := r.root.field("apiVersion")
		o.note("schema/unknown-kind", at.value.pos(), "use apiVersion: conductor.dev/v1", "conductor.dev has no version %q", clean(r.version, 40))
		return nil
	}
	known := false
	for _, k := range ownKinds {
		known = known || k == r.Kind
	}
	if !known {
		o.note("schema/unknown-kind", r.root.field("kind").value.pos(), "use one of "+strings.Join(ownKinds, ", "),
			"conductor.dev has no kind %q%s", clean(r.Kind, 60), didYouMean(r.Kind, ownKinds))
		return nil
	}
	for _, k := range leftAlone {
		if k == r.Kind {
			return nil
		}
	}
	o.only("apiVersion", "kind", "metadata", "spec")
	meta := o.object("metadata")
	meta.only("name", "namespace", "labels", "annotations")
	name := meta.requiredStr("name")
	meta.matching("name", labelValue, wantName)
	spec := o.object("spec")
	if o.require("spec") == nil || name == "" {
		return nil
	}
	switch r.Kind {
	case "Tenant":
		return decodeTenant(o, meta, spec)
	case "Budget":
		return decodeBudget(spec, name, r.kindAt)
	case "RateCard":
		return decodeRateCard(spec, name, r.kindAt)
	case "SystemAllowlist":
		return decodeAllowlist(spec, name, r.kindAt)
	default:
		return decodeWorkflow(spec)
	}
}

func decodeTenant(o, meta, spec object) any {
	spec.only("displayName", "regime", "owners", "namespaces", "paths")
	name := meta.n.field("name").value
	if name.value == string(Untagged) {
		meta.note("schema/invalid-value", name.pos(), "choose another name", "a Tenant can't be called %q", Untagged)
		return nil
	}
	if !labelValue.MatchString(name.value) {
		return nil
	}
	t := &Tenant{ID: TenantID(name.value), DisplayName: spec.str("displayName"), Regime: spec.oneOf("regime", regimes...),
		Owners: spec.strs("owners"), Namespaces: spec.strs("namespaces"), Paths: spec.globs("paths"), At: name.pos()}
	return t
}

func decodeBudget(spec object, name string, at Pos) any {
	spec.only("environment", "tenant", "amount", "currency", "period", "warnAtPercent")
	before := len(spec.file.findings)
	env := spec.require("environment")
	spec.matching("environment", labelValue, wantName)
	spec.matching("tenant", labelValue, wantName)
	amount, currency := spec.require("amount"), spec.require("currency")
	spec.matching("currency", currencyCode, "an ISO 4217 code such as USD")
	spec.oneOf("period", "monthly")
	b := &Budget{Name: name, Environment: Environment(spec.str("environment")), Tenant: TenantID(spec.str("tenant")),
		Amount: Money{spec.amount("amount"), spec.str("currency")}, At: at}
	for i, n := range spec.sequence("warnAtPercent") {
		p, err := parseDecimal(n.text())
		if err != nil || !p.IsInteger() || p.Sign() <= 0 || p.GreaterThan(decimal.New(100, 0)) {
			spec.note("schema/invalid-value", n.pos(), "", "spec.warnAtPercent[%d] must be a whole number from 1 to 100", i)
			continue
		}
		b.WarnAtPercent = append(b.WarnAtPercent, p.IntPart())
	}
	if spec.n.field("warnAtPercent") == nil {
		b.WarnAtPercent = []int64{80}
	}
	if env == nil || amount == nil || currency == nil || len(spec.file.findings) > before && !onlyUnknown(spec.file.findings[before:]) {
		return nil
	}
	b.currencyAt = currency.value.pos()
	return b
}

// onlyUnknown reports whether a document is usable in spite of its findings.
func onlyUnknown(fs []found) bool {
	for _, f := range fs {
		if f.Rule != "schema/unknown-field" {
			return false
		}
	}
	return true
}

func decodeRateCard(spec object, name string, at Pos) any {
	spec.only("currency", "cpuCoreHour", "memoryGiBHour", "gpuHour", "storageGiBMonth", "loadBalancerMonth", "defaults", "environments")
	before := len(spec.file.findings)
	spec.require("currency")
	spec.require("cpuCoreHour")
	spec.require("memoryGiBHour")
	c := &RateCard{Name: name, Currency: spec.matching("currency", currencyCode, "an ISO 4217 code such as USD"),
		CPUCoreHour: spec.amount("cpuCoreHour"), MemoryGiBHour: spec.amount("memoryGiBHour"), At: at,
		DefaultCPU: builtInRates.DefaultCPU, DefaultMemory: builtInRates.DefaultMemory, Nodes: map[Environment]int64{}}
	for key, to := range map[string]**decimal.Decimal{"gpuHour": &c.GPUHour, "storageGiBMonth": &c.StorageGiBMonth, "loadBalancerMonth": &c.LoadBalancerMonth} {
		if f := spec.n.field(key); f != nil && !f.value.null() {
			d := decimal.Zero
			*to = &d
		}
	}
	for _, x := range []struct {
		key string
		to  *decimal.Decimal
	}{{"gpuHour", c.GPUHour}, {"storageGiBMonth", c.StorageGiBMonth}, {"loadBalancerMonth", c.LoadBalancerMonth}} {
		if x.to != nil {
			*x.to = spec.amount(x.key)
		}
	}
	defaults := spec.object("defaults")
	defaults.only("cpu", "memory")
	defaults.quantity("cpu", &c.DefaultCPU)
	defaults.quantity("memory", &c.DefaultMemory)
	envs := spec.object("environments")
	for i := range envs.n.fields {
		key := envs.n.fields[i].key
		e := envs.object(key)
		e.only("nodes")
		if n := e.count("nodes", 0, 1_000_000); n != nil {
			c.Nodes[Environment(key)] = *n
		}
	}
	if len(spec.file.findings) > before && !onlyUnknown(spec.file.findings[before:]) {
		return nil
	}
	return c
}

// quantity decodes a Kubernetes quantity into to, left as it is when absent.
func (o object) quantity(key string, to *decimal.Decimal) {
	f := o.n.field(key)
	if f == nil || f.value.null() {
		return
	}
	q, err := parseQuantity(f.value.text())
	if err != nil || q.IsNegative() || f.value.kind != scalarNode {
		o.invalid(f, "a Kubernetes quantity such as 500m or 1Gi")
		return
	}
	*to = q
}

func decodeAllowlist(spec object, name string, at Pos) any {
	spec.only("jobs")
	l := &SystemAllowlist{Name: name, At: at}
	spec.require("jobs")
	for _, j := range spec.items("jobs") {
		j.only("kind", "namespace", "name", "reason", "approvedBy", "expires")
		before := len(j.file.findings)
		a := AllowedJob{Kind: j.requiredStr("kind"), Namespace: j.str("namespace"), Name: j.requiredStr("name"),
			Reason: j.requiredStr("reason"), ApprovedBy: j.requiredStr("approvedBy"), At: j.at}
		if day := j.requiredStr("expires"); day != "" {
			t, err := time.Parse(time.DateOnly, day)
			if err != nil {
				j.invalid(j.n.field("expires"), "a date such as 2027-01-31")
			}
			a.Expires = t.AddDate(0, 0, 1)
		}
		if len(j.file.findings) == before {
			l.Jobs = append(l.Jobs, a)
		}
	}
	return l
}

func decodeWorkflow(spec object) any {
	spec.only("environment", "schedule", "timeZone", "jobs")
	w := &Workflow{Environment: Environment(spec.matching("environment", labelValue, wantName)), Schedule: spec.str("schedule"), TimeZone: spec.str("timeZone")}
	if f := spec.n.field("timeZone"); w.TimeZone != "" {
		if _, err := location(w.TimeZone); err != nil {
			spec.invalid(f, "an IANA time zone such as Europe/Paris")
			w.TimeZone = ""
		}
	}
	if w.Schedule != "" {
		if _, err := parseSchedule(w.Schedule); err != nil {
			spec.invalid(spec.n.field("schedule"), "five cron fields such as \"0 3 * * *\"")
			w.Schedule = ""
		}
	}
	spec.require("jobs")
	seen := map[string]bool{}
	for _, j := range spec.items("jobs") {
		job := decodeWorkflowJob(j)
		switch {
		case job.Name == "":
		case seen[job.Name]:
			j.note("workflow/duplicate-job", job.At, "", "the job %q is here twice", clean(job.Name, 80))
			continue
		}
		seen[job.Name] = true
		w.Jobs = append(w.Jobs, job)
	}
	return w
}

func decodeWorkflowJob(j object) WorkflowJob {
	j.only("name", "tenant", "image", "replicas", "resources", "duration", "dependsOn", "system")
	j.require("name")
	job := WorkflowJob{Name: j.matching("name", labelValue, wantName), Tenant: TenantID(j.str("tenant")),
		Image: j.matching("image", imageText, "an image reference"), Replicas: j.count("replicas", 0, 1_000_000), System: j.boolean("system"), At: j.at}
	for key, to := range map[string]*Pos{"name": &job.At, "tenant": &job.tenantAt, "system": &job.systemAt, "replicas": &job.replicasAt, "resources": &job.resourcesAt} {
		if f := j.n.field(key); f != nil {
			*to = f.pos()
		}
	}
	if d := j.str("duration"); d != "" {
		var err error
		if job.Duration, err = parseDuration(d); err != nil {
			j.invalid(j.n.field("duration"), "a duration such as 90s, 10m or 1h30m")
		}
	}
	res := j.object("resources")
	res.only("requests", "limits")
	for _, k := range []string{"requests", "limits"} {
		list := res.object(k)
		for i := range list.n.fields {
			var ignored decimal.Decimal
			list.quantity(list.n.fields[i].key, &ignored)
		}
	}
	job.resources = res.n
	for _, n := range j.sequence("dependsOn") {
		if n.text() == "" || strings.Count(n.text(), "/") > 1 {
			j.note("schema/invalid-value", n.pos(), "", "%s.dependsOn must hold \"job\" or \"workflow/job\"", j.path)
			continue
		}
		job.DependsOn = append(job.DependsOn, Dependency{n.text(), n.pos()})
	}
	return job
}

// parseDuration reads a positive duration of at most ten years.
func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 || d > 10*366*24*time.Hour {
		return 0, fmt.Errorf("%q isn't a duration such as 10m", clean(s, 40))
	}
	return d, nil
}

// parseSchedule reads five cron fields or a descriptor such as @daily. A zone
// inside the schedule isn't allowed, as in Kubernetes.
func parseSchedule(s string) (cron.Schedule, error) {
	if len(s) > 200 || strings.Contains(s, "TZ=") {
		return nil, fmt.Errorf("schedule %q isn't five cron fields", clean(s, 40))
	}
	return cron.ParseStandard(s)
}
