package manifests

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Check judges a tree as it is, by its own policy, tenants and budgets.
func Check(s *Snapshot, o Options) Verdict {
	o.Changed = nil
	m := &judgement{judge: newJudge(s, o)}
	m.head = m.judge.evaluate(s)
	m.headOwn = m.head.own()
	for _, e := range m.head.evals {
		if e != nil {
			m.pairs = append(m.pairs, pair{head: e})
		}
	}
	return m.verdict()
}

// Judge judges a pull request, or a commit against its parent. Policy, tenants,
// budgets, rate cards and allowlists of the base decide; the head's edits to them are
// shown as changes and count once they are merged. A base that has none of them
// is judged by the defaults.
//
// An error fails only if the base didn't have it, or if it is about an object
// that the pull request changes; others are kept as notices with Existing set.
func Judge(base, head *Snapshot, o Options) Verdict {
	m := &judgement{judge: newJudge(base, o), hasBase: true}
	if o.Changed != nil {
		head = overlay(base, head, o.Changed)
	}
	m.base, m.head = m.judge.evaluate(base), m.judge.evaluate(head)
	m.baseOwn, m.headOwn = m.base.own(), m.head.own()
	m.pair()
	return m.verdict()
}

// overlay is base with head's version of the changed paths: what differs
// elsewhere was not done by this pull request.
func overlay(base, head *Snapshot, changed map[string]bool) *Snapshot {
	files := make([]*File, 0, len(head.files))
	for _, f := range base.files {
		if !changed[f.path] {
			files = append(files, f)
		}
	}
	for _, f := range head.files {
		if changed[f.path] {
			files = append(files, f)
		}
	}
	return NewSnapshot(files)
}

// judgement is one judgement under way. Without a base, every file is new.
type judgement struct {
	judge            *judge
	hasBase          bool
	base, head       tree
	baseOwn, headOwn []ownResource
	// pairs are the covered files of both trees by path, those that are equal too.
	pairs []pair

	findings     []Finding
	changes      []Change
	matched      []match
	touched      map[*resource]bool // at head: added or semantically changed
	touchedFile  map[*File]bool     // at head
	budgetTitles []string

	baseScale, headScale scaling
}

// pair is a path's evaluation at base and head; nil where it isn't there. Both
// are the same pointer when nothing changed.
type pair struct{ base, head *evaluation }

func (p pair) same() bool { return p.base == p.head }

func (m *judgement) pair() {
	b, h := m.base, m.head
	m.pairs = make([]pair, 0, len(h.evals))
	for i, k := 0, 0; i < len(b.files) || k < len(h.files); {
		var p pair
		order := 0
		switch {
		case i == len(b.files):
			order = 1
		case k == len(h.files):
			order = -1
		case b.files[i] != h.files[k]:
			order = strings.Compare(b.files[i].path, h.files[k].path)
		}
		if order <= 0 {
			p.base = b.evals[i]
			i++
		}
		if order >= 0 {
			p.head = h.evals[k]
			k++
		}
		if p.base != nil || p.head != nil {
			m.pairs = append(m.pairs, p)
		}
	}
}

func (m *judgement) verdict() Verdict {
	if m.hasBase {
		m.compare()
	}
	m.collect()
	cost := m.report()
	m.checkBudgets(&cost)
	sortFindings(m.findings)
	v := Verdict{Findings: m.findings, Changes: m.changes, Cost: cost, PolicyDigest: m.judge.digest, Files: m.head.count(), Compared: m.hasBase}
	if v.Findings == nil {
		v.Findings = []Finding{}
	}
	v.TouchedTenants = m.touchedTenants()
	v.Tenants, v.Budget = m.tenantsResult(), m.budgetResult(&cost)
	return v
}

// collect gathers the findings at head and tells new ones from old ones.
func (m *judgement) collect() {
	old := map[string]int{}
	specialDiffers, n := false, 0
	for _, p := range m.pairs {
		if p.head != nil {
			n += len(p.head.findings)
		}
		if p.same() {
			continue
		}
		specialDiffers = specialDiffers || p.base != nil && p.base.file.special || p.head != nil && p.head.file.special
		if p.base != nil {
			for _, f := range p.base.findings {
				old[fingerprint(f)]++
			}
		}
	}
	m.findings = make([]Finding, 0, n+8)
	for _, p := range m.pairs {
		if p.head == nil {
			continue
		}
		for i := range p.head.findings {
			f := &p.head.findings[i]
			m.keep(f, p.same() || m.known(*f, p.head.file, old))
		}
	}
	global := m.global(m.headOwn)
	old = map[string]int{}
	if m.hasBase && specialDiffers && len(global) > 0 {
		for _, f := range m.global(m.baseOwn) {
			old[fingerprint(f)]++
		}
	}
	for i := range global {
		f := &global[i]
		m.keep(f, m.hasBase && !specialDiffers || m.known(*f, f.r.file, old))
	}
	m.noneDeclared()
	m.stillUsed()
	m.policyEdits()
}

// global judges what no file says by itself.
func (m *judgement) global(own []ownResource) []found {
	return append(m.judge.ownDuplicates(own), m.judge.jobFindings(own)...)
}

// fingerprint is equal for the same finding before and after lines moved.
func fingerprint(f found) string {
	if f.r == nil {
		return f.Rule + "\x00" + f.File + "\x00" + f.Message
	}
	return f.Rule + "\x00" + f.Resource + "\x00" + f.Message
}

// known reports whether the base had a finding that the pull request leaves
// alone, and uses up one of the base's. What the pull request touches doesn't use
// one up: it would be missing for an untouched object with the same words.
func (m *judgement) known(f found, file *File, old map[string]int) bool {
	if !m.hasBase || f.r != nil && m.touched[f.r] || f.r == nil && m.touchedFile[file] {
		return false
	}
	id := fingerprint(f)
	if old[id] == 0 {
		return false
	}
	old[id]--
	return true
}

func (m *judgement) keep(f *found, existing bool) {
	m.findings = append(m.findings, f.Finding)
	if existing && m.hasBase {
		last := &m.findings[len(m.findings)-1]
		last.Existing, last.Severity = true, SeverityNotice
	}
}

// noneDeclared says once that tags can't be compared with tenants.
func (m *judgement) noneDeclared() {
	if len(m.judge.tenants) > 0 {
		return
	}
	for _, p := range m.pairs {
		if p.head == nil || p.head.tagged == nil {
			continue
		}
		rule, _ := Explain("tenant/none-declared")
		f := *p.head.tagged
		f.Rule, f.Remedy, f.Existing = rule.ID, rule.Remedy, p.same() && m.hasBase
		f.Message = "no Tenant is declared, so tenant tags can't be compared with known tenants"
		if f, ok := m.judge.finding(p.head.file, f); ok {
			m.findings = append(m.findings, f)
		}
		return
	}
}

// stillUsed reports each Tenant that the pull request removes while a workload
// at head carries its tag.
func (m *judgement) stillUsed() {
	if !m.hasBase {
		return
	}
	gone := map[TenantID]bool{}
	for id := range m.judge.tenants {
		gone[id] = true
	}
	for _, r := range m.headOwn {
		if t, ok := r.own.(*Tenant); ok {
			delete(gone, t.ID)
		}
	}
	if len(gone) == 0 {
		return
	}
	for _, p := range m.pairs {
		if p.head == nil {
			continue
		}
		for _, u := range p.head.used {
			if !gone[u.tenant] {
				continue
			}
			delete(gone, u.tenant)
			f := u.at
			f.Rule, f.Message = "tenant/still-used", fmt.Sprintf("the tenant %q is removed, but %s still carries its tag", u.tenant, f.Resource)
			f.Remedy = "move or remove the tenant's workloads first, then the Tenant"
			if f, ok := m.judge.finding(p.head.file, f); ok {
				m.findings = append(m.findings, f)
			}
		}
	}
}

// policyEdits notes that the pull request edits what judges it.
func (m *judgement) policyEdits() {
	for _, c := range m.changes {
		if !c.Policy {
			continue
		}
		rule, _ := Explain("policy/edited")
		words := string(c.Kind)
		if len(c.Details) > 0 {
			words += ": " + strings.Join(c.Details[:min(3, len(c.Details))], ", ")
		}
		f := Finding{Rule: rule.ID, File: c.File, Line: c.Line, Column: 1, Resource: c.Resource, Tenant: c.Tenant, Remedy: rule.Remedy,
			Message: clean(fmt.Sprintf("%s is %s; it judges pull requests from its merge on", c.Resource, words), 400)}
		if f, ok := m.judge.finding(nil, f); ok {
			m.findings = append(m.findings, f)
		}
	}
}

func (m *judgement) touchedTenants() []TenantID {
	set := map[TenantID]bool{}
	for _, c := range m.changes {
		set[c.Tenant] = true
	}
	for _, x := range m.matched {
		set[x.from.tenant], set[x.to.tenant] = true, true
	}
	for _, p := range m.pairs {
		if p.same() || !m.hasBase {
			continue
		}
		if p.opaque() && p.base != nil {
			for _, at := range p.base.placed {
				set[at.tenant] = true
			}
		}
	}
	var out []TenantID
	for t := range set {
		out = append(out, t)
	}
	slices.Sort(out)
	return out
}

// tenantsResult is the conductor/tenants check.
func (m *judgement) tenantsResult() CheckResult {
	problems, existing := 0, 0
	files := map[string]bool{}
	for _, f := range m.findings {
		switch {
		case f.Budget:
		case f.Severity == SeverityError:
			problems++
			files[f.File] = true
		case f.Existing:
			existing++
		}
	}
	if problems > 0 {
		return CheckResult{Failure, fmt.Sprintf("%s in %s", plural(problems, "problem"), plural(len(files), "file"))}
	}
	if existing > 0 {
		return CheckResult{Success, fmt.Sprintf("No new problems; %d known from before", existing)}
	}
	workloads := 0
	for _, e := range m.head.evals {
		if e != nil {
			workloads += e.workloads
		}
	}
	switch {
	case workloads == 0:
		return CheckResult{Success, "No workloads to check"}
	case len(m.judge.tenants) == 0:
		return CheckResult{Success, carry(workloads) + " a tenant"}
	}
	return CheckResult{Success, carry(workloads) + " a known tenant"}
}

func carry(n int) string {
	if n == 1 {
		return "The workload carries"
	}
	return fmt.Sprintf("All %d workloads carry", n)
}

// budgetResult is the conductor/budget check.
func (m *judgement) budgetResult(r *CostReport) CheckResult {
	problems := 0
	for _, f := range m.findings {
		if f.Budget && f.Severity == SeverityError {
			problems++
		}
	}
	if problems > 0 {
		title := plural(problems, "problem") + " with budgets"
		if len(m.budgetTitles) > 0 {
			title = m.budgetTitles[0]
			if problems > 1 {
				title += fmt.Sprintf("; and %s more", plural(problems-1, "problem"))
			}
		}
		return CheckResult{Failure, title}
	}
	if len(m.judge.budgets) == 0 {
		return CheckResult{Neutral, "No Budget is declared"}
	}
	budgeted, changed, covered := 0, 0, 0
	var delta Money
	for _, e := range r.Environments {
		if e.Check != Neutral {
			budgeted++
		}
		if !e.Delta.Amount.IsZero() {
			changed++
			if delta = delta.Add(e.Delta); e.Check != Neutral {
				covered++
			}
		}
	}
	switch {
	case budgeted == 0:
		return CheckResult{Neutral, "No Budget could be compared"}
	case !m.hasBase:
		return CheckResult{Success, plural(budgeted, "environment") + " within budget"}
	case changed == 0:
		return CheckResult{Success, "No change in estimated cost"}
	case covered == 0:
		return CheckResult{Neutral, "No Budget covers what changes here"}
	}
	return CheckResult{Success, fmt.Sprintf("%s a month; within budget", delta.Signed())}
}

func compareFindings(a, b Finding) int {
	return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
		strings.Compare(a.Rule, b.Rule), strings.Compare(a.Resource, b.Resource), strings.Compare(a.Message, b.Message))
}
