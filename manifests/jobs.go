package manifests

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// checkJobs applies the tenant rules inside one Workflow: its jobs inherit its
// tenant and may not name another; a system job must be allowed by name.
func (e *evaluation) checkJobs(j *judge, r *resource, w *Workflow, tenant TenantID) {
	for i := range w.Jobs {
		job := &w.Jobs[i]
		f := Finding{Resource: r.title(), Tenant: tenant}
		if job.Tenant != "" && job.Tenant != tenant {
			f.Rule, f.Line, f.Column = "tenant/mismatch", job.tenantAt.Line, job.tenantAt.Column
			f.Message = fmt.Sprintf("the job %q names the tenant %q, but its Workflow is of tenant %q", clean(job.Name, 80), clean(string(job.Tenant), 80), tenant)
			f.Remedy = "remove the job's tenant, or move the job to a Workflow of that tenant"
			e.add(j, r.file, f)
		}
		if !job.System {
			continue
		}
		name := r.Name + "/" + job.Name
		if ok, remedy := j.untagged("Workflow", r.Namespace, name, r.file.path); !ok {
			f.Rule, f.Line, f.Column, f.Tenant = "tenant/missing", job.systemAt.Line, job.systemAt.Column, Untagged
			f.Message = fmt.Sprintf("the job %q claims to be a system job, but no SystemAllowlist entry in force names Workflow %s", clean(job.Name, 80), clean(name, 140))
			f.Remedy = "remove `system`, or " + strings.TrimPrefix(remedy, "add the label "+j.policy.TenantLabels[0]+", or ")
			if strings.HasPrefix(remedy, "add the label") && !strings.Contains(remedy, ", or have") {
				f.Remedy = fmt.Sprintf("remove `system`, or have Workflow %s named in a SystemAllowlist on the base branch", clean(name, 140))
			}
			e.add(j, r.file, f)
		}
	}
}

// jobNode is a job in the graph of all Workflows of a tree.
type jobNode struct {
	of     ownResource
	job    *WorkflowJob
	system bool
	needs  []edge
	// for the search of circles
	index, low int
	onStack    bool
}

type edge struct {
	to *jobNode
	at Pos
}

func (n *jobNode) name() string { return clean(n.of.Name+"/"+n.job.Name, 140) }

// jobFindings judges the dependencies between the jobs of all Workflows.
func (j *judge) jobFindings(own []ownResource) []found {
	g := jobGraph{judge: j, byName: map[string][]*workflowNode{}}
	for _, r := range own {
		if w, ok := r.own.(*Workflow); ok {
			g.add(r, w)
		}
	}
	for _, w := range g.workflows {
		for _, n := range w.jobs {
			for _, d := range n.job.DependsOn {
				g.link(w, n, d)
			}
		}
	}
	g.circles()
	return g.found
}

type workflowNode struct {
	of     ownResource
	jobs   []*jobNode
	byName map[string]*jobNode
}

type jobGraph struct {
	judge     *judge
	workflows []*workflowNode
	byName    map[string][]*workflowNode
	found     []found
	suggested int
}

// maxSuggestions bounds how many unknown names are compared with all others.
const maxSuggestions = 100

func (g *jobGraph) add(r ownResource, w *Workflow) {
	n := &workflowNode{of: r, byName: make(map[string]*jobNode, len(w.Jobs))}
	for i := range w.Jobs {
		job := &w.Jobs[i]
		ok, _ := g.judge.untagged("Workflow", r.Namespace, r.Name+"/"+job.Name, r.file.path)
		node := &jobNode{of: r, job: job, system: job.System && ok}
		n.jobs, n.byName[job.Name] = append(n.jobs, node), node
	}
	g.workflows = append(g.workflows, n)
	g.byName[r.Name] = append(g.byName[r.Name], n)
}

func (g *jobGraph) note(r ownResource, f Finding) {
	f.Resource, f.Tenant = r.title(), r.tenant
	if f, ok := g.judge.finding(r.file, f); ok {
		g.found = append(g.found, found{f, r.resource})
	}
}

// link resolves one dependency: a job of the same Workflow, or "workflow/job",
// where the Workflow of the same environment and namespace is preferred.
func (g *jobGraph) link(w *workflowNode, n *jobNode, d Dependency) {
	target, name := w, d.Name
	if wf, job, ok := strings.Cut(d.Name, "/"); ok {
		name, target = job, g.workflow(w, wf)
	}
	var to *jobNode
	if target != nil {
		to = target.byName[name]
	}
	if to == nil {
		g.note(w.of, Finding{Rule: "workflow/unknown-job", Line: d.At.Line, Column: d.At.Column,
			Message: fmt.Sprintf("the job %q depends on %q, which doesn't exist%s", clean(n.job.Name, 80), clean(d.Name, 140), g.suggest(w, target, d.Name)),
			Remedy:  "name a job of this Workflow, or \"workflow/job\" for one of another"})
		return
	}
	n.needs = append(n.needs, edge{to, d.At})
	from, of := w.of.tenant, target.of.tenant
	if from == of || from == Untagged || of == Untagged || n.system || to.system {
		return
	}
	g.note(w.of, Finding{Rule: "tenant/cross-tenant-dependency", Line: d.At.Line, Column: d.At.Column,
		Message: fmt.Sprintf("the job %q of tenant %q depends on %q of tenant %q", clean(n.job.Name, 80), from, to.name(), of),
		Remedy:  "depend only on jobs of the same tenant, or on a system job that a SystemAllowlist names"})
}

func (g *jobGraph) workflow(from *workflowNode, name string) *workflowNode {
	var best *workflowNode
	rank := -1
	for _, w := range g.byName[name] {
		r := 0
		if w.of.env == from.of.env {
			r += 2
		}
		if w.of.Namespace == from.of.Namespace {
			r++
		}
		if r > rank {
			best, rank = w, r
		}
	}
	return best
}

func (g *jobGraph) suggest(w, target *workflowNode, name string) string {
	if g.suggested++; g.suggested > maxSuggestions {
		return ""
	}
	var names []string
	if strings.Contains(name, "/") {
		if target != nil {
			for _, n := range target.jobs {
				names = append(names, n.of.Name+"/"+n.job.Name)
			}
		} else {
			_, job, _ := strings.Cut(name, "/")
			for wf := range g.byName {
				names = append(names, wf+"/"+job)
			}
			slices.Sort(names)
		}
	} else {
		for _, n := range w.jobs {
			names = append(names, n.job.Name)
		}
	}
	if len(names) > 1000 {
		names = names[:1000]
	}
	return didYouMean(name, names)
}

// circles reports each strongly connected group of jobs once, at a dependency of
// its first job.
func (g *jobGraph) circles() {
	var stack []*jobNode
	counter := 0
	var visit func(n *jobNode)
	visit = func(n *jobNode) {
		counter++
		n.index, n.low, n.onStack = counter, counter, true
		stack = append(stack, n)
		self := false
		for _, e := range n.needs {
			switch {
			case e.to == n:
				self = true
			case e.to.index == 0:
				visit(e.to)
				n.low = min(n.low, e.to.low)
			case e.to.onStack:
				n.low = min(n.low, e.to.index)
			}
		}
		if n.low != n.index {
			return
		}
		at := slices.Index(stack, n)
		group := slices.Clone(stack[at:])
		stack = stack[:at]
		for _, m := range group {
			m.onStack = false
		}
		if len(group) > 1 || self {
			g.circle(group)
		}
	}
	for _, w := range g.workflows {
		for _, n := range w.jobs {
			if n.index == 0 {
				visit(n)
			}
		}
	}
}

func (g *jobGraph) circle(group []*jobNode) {
	in := map[*jobNode]bool{}
	first := group[0]
	for _, n := range group {
		in[n] = true
		if cmp.Or(strings.Compare(n.of.file.path, first.of.file.path), cmp.Compare(n.job.At.Line, first.job.At.Line), cmp.Compare(n.job.At.Column, first.job.At.Column)) < 0 {
			first = n
		}
	}
	// Walk inside the group until a job comes up again: that is a circle.
	seen := map[*jobNode]int{}
	var walk []*jobNode
	var at Pos
	n := first
	for {
		if i, again := seen[n]; again {
			walk = append(walk[i:], n)
			break
		}
		seen[n] = len(walk)
		walk = append(walk, n)
		for _, e := range n.needs {
			if in[e.to] {
				if n == first {
					at = e.at
				}
				n = e.to
				break
			}
		}
	}
	names := make([]string, 0, 8)
	for i, n := range walk {
		if i == 6 && len(walk) > 8 {
			names = append(names, "…", walk[len(walk)-1].name())
			break
		}
		names = append(names, n.name())
	}
	g.note(first.of, Finding{Rule: "workflow/cycle", Line: at.Line, Column: at.Column,
		Message: "jobs wait for each other in a circle: " + strings.Join(names, " -> "), Remedy: "remove one of the dependencies"})
}
