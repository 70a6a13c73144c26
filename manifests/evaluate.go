package manifests

import (
	"crypto/sha256"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// found is a finding with the resource that it is about; nil for a file.
type found struct {
	Finding
	r *resource
}

// evaluation is what a file means to one judge, when looked at by itself. It
// depends on the file, the judge's key and chart only, and never changes.
type evaluation struct {
	key   [sha256.Size]byte
	chart bool // a template of a Helm chart

	file       *File
	findings   []found
	placed     []placed // by index of the resource
	unrendered bool
	tagged     *Finding // place of the first workload with a tag, without a rule
	used       []use
	workloads  int
	items      []*costItem
	sums       []costSum // of items, by environment and tenant
	unpriced   []Unpriced
	assumed    []assumption
}

// placed says where a resource runs and for whom.
type placed struct {
	env    Environment
	tenant TenantID
}

// use is a workload that carries a tenant's tag, at its place.
type use struct {
	tenant TenantID
	at     Finding
}

// evaluate looks at one file, or remembers having done so for the same judge.
func (f *File) evaluate(j *judge, chart bool) *evaluation {
	if m := f.memo.Load(); m != nil && m.key == j.key && m.chart == chart {
		return m
	}
	e := &evaluation{key: j.key, chart: chart, file: f}
	if chart && f.braces && f.opaque && !f.refused {
		e.unrendered = true
	} else {
		for _, x := range f.findings {
			if y, ok := j.finding(f, x.Finding); ok {
				e.findings = append(e.findings, found{y, x.r})
			}
		}
	}
	ofPath := j.policy.byPath(f.path, j.branch)
	e.placed = make([]placed, len(f.resources))
	for i, r := range f.resources {
		e.placed[i] = placed{j.environment(r, ofPath), j.tenantOf(r)}
		if r.kind != nil && r.kind.workload {
			e.workloads++
		}
		from := len(e.findings)
		e.checkTenant(j, r)
		e.checkOwn(j, r)
		for k := from; k < len(e.findings); k++ {
			e.findings[k].r = r
		}
		e.price(j, r, e.placed[i])
	}
	e.sum()
	if e.unrendered {
		rule, _ := Explain("render/unrendered")
		e.add(j, f, Finding{Rule: rule.ID, Line: 1, Column: 1, Message: "this Helm template isn't checked until it is rendered", Remedy: rule.Remedy})
	}
	// Sorted here, once, the findings of a whole tree come out sorted.
	slices.SortStableFunc(e.findings, func(a, b found) int { return compareFindings(a.Finding, b.Finding) })
	f.memo.Store(e)
	return e
}

// add records a finding with the severity that the policy gives it.
func (e *evaluation) add(j *judge, f *File, x Finding) {
	if x, ok := j.finding(f, x); ok {
		e.findings = append(e.findings, found{Finding: x})
	}
}

// finding completes a finding: its file, its severity, its check.
func (j *judge) finding(f *File, x Finding) (Finding, bool) {
	rule, known := Explain(x.Rule)
	if x.Severity == "" {
		x.Severity = rule.Default
	}
	var on bool
	if x.Severity, on = j.policy.severity(x.Rule, x.Severity); !on || !known {
		return x, false
	}
	if x.File == "" {
		x.File = clean(f.path, 500)
	}
	x.Line, x.Column = max(1, x.Line), max(1, x.Column)
	x.Budget = rule.Check == CheckBudget
	return x, true
}

// checkOwn judges what a document of ours says by itself, beyond its schema.
func (e *evaluation) checkOwn(j *judge, r *resource) {
	switch own := r.own.(type) {
	case *SystemAllowlist:
		for _, a := range own.Jobs {
			if j.now.Before(a.Expires) {
				continue
			}
			rule, _ := Explain("allowlist/expired")
			e.add(j, r.file, Finding{Rule: rule.ID, Line: a.At.Line, Column: a.At.Column, Resource: r.title(), Remedy: rule.Remedy,
				Message: fmt.Sprintf("the exception for %s has expired", clean(a.Kind+" "+strings.TrimPrefix(a.Namespace+"/"+a.Name, "/"), 160))})
		}
	case *Budget:
		if own.Amount.Currency != j.rates.Currency {
			rule, _ := Explain("budget/currency-mismatch")
			e.add(j, r.file, Finding{Rule: rule.ID, Line: own.currencyAt.Line, Column: own.currencyAt.Column, Resource: r.title(), Tenant: own.Tenant, Remedy: rule.Remedy,
				Message: fmt.Sprintf("the budget is in %s, but prices are in %s", own.Amount.Currency, j.rates.Currency)})
		}
		if own.Tenant != "" && len(j.tenants) > 0 && j.tenants[own.Tenant] == nil {
			e.add(j, r.file, Finding{Rule: "tenant/unknown", Line: own.At.Line, Column: own.At.Column, Resource: r.title(), Tenant: own.Tenant,
				Message: fmt.Sprintf("the budget is for the tenant %q, which no Tenant declares%s", own.Tenant, didYouMean(string(own.Tenant), j.names)),
				Remedy:  "use a declared tenant, or add the Tenant first: it counts once it is on the base branch"})
		}
	}
}

// tree is a snapshot as a judge sees it.
type tree struct {
	*Snapshot
	evals []*evaluation // by index of the file; nil for paths that aren't covered
}

// evaluate looks at every file, on all cores.
func (j *judge) evaluate(s *Snapshot) tree {
	t := tree{s, make([]*evaluation, len(s.files))}
	limited := len(j.policy.Include)+len(j.policy.Exclude) > 0
	one := func(i int) {
		if f := s.files[i]; !limited || j.policy.covers(f.path) {
			t.evals[i] = f.evaluate(j, s.inChart(f.path))
		}
	}
	const chunk = 64
	workers := min(runtime.GOMAXPROCS(0), len(s.files)/chunk)
	if workers < 2 {
		for i := range s.files {
			one(i)
		}
		return t
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				from := int(next.Add(chunk)) - chunk
				if from >= len(s.files) {
					return
				}
				for i := from; i < min(from+chunk, len(s.files)); i++ {
					one(i)
				}
			}
		})
	}
	wg.Wait()
	return t
}

// own lists the covered resources of conductor.dev and autoscalers with where
// they are, in file order.
func (t tree) own() []ownResource {
	var out []ownResource
	for i, f := range t.files {
		if !f.special || t.evals[i] == nil {
			continue
		}
		for k, r := range f.resources {
			if r.own != nil || r.kind != nil && r.kind.autoscaler {
				out = append(out, ownResource{r, t.evals[i].placed[k]})
			}
		}
	}
	return out
}

type ownResource struct {
	*resource
	placed
}

// count is the number of manifests that were looked at.
func (t tree) count() int {
	n := 0
	for _, e := range t.evals {
		if e != nil {
			n++
		}
	}
	return n
}

func sortFindings(fs []Finding) {
	if !slices.IsSortedFunc(fs, compareFindings) {
		slices.SortStableFunc(fs, compareFindings)
	}
}
