package manifests

import (
	"cmp"
	"slices"
	"strings"
)

// match is a resource at base and its successor at head that mean different things.
type match struct{ from, to side }

// side is a resource in one of the two trees.
type side struct {
	*resource
	placed
}

func (p pair) opaque() bool {
	return p.base != nil && p.base.opaque() || p.head != nil && p.head.opaque()
}

// opaque reports whether a part of the file can't be understood.
func (e *evaluation) opaque() bool { return e.file.opaque || e.unrendered }

// compare finds what changed in meaning between the files that differ.
func (m *judgement) compare() {
	m.touched, m.touchedFile = map[*resource]bool{}, map[*File]bool{}
	var from, to []side
	for _, p := range m.pairs {
		if p.same() {
			continue
		}
		if p.opaque() {
			m.opaqueChange(p)
		}
		if p.base != nil && p.base.file.policy != nil || p.head != nil && p.head.file.policy != nil {
			m.policyChange(p)
		}
		// What is left of a file that became unreadable says nothing about what
		// was removed from it.
		if p.head != nil && p.head.opaque() {
			for _, r := range p.head.file.resources {
				m.touched[r] = true
			}
			continue
		}
		from, to = append(from, p.base.sides()...), append(to, p.head.sides()...)
	}
	m.matchResources(from, to)
	slices.SortStableFunc(m.changes, func(a, b Change) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), strings.Compare(a.Resource, b.Resource), strings.Compare(string(a.Kind), string(b.Kind)))
	})
}

func (e *evaluation) sides() []side {
	if e == nil {
		return nil
	}
	out := make([]side, len(e.file.resources))
	for i, r := range e.file.resources {
		out[i] = side{r, e.placed[i]}
	}
	return out
}

func (m *judgement) opaqueChange(p pair) {
	c := Change{Kind: Opaque, Tenant: Untagged, Line: 1}
	e := p.head
	switch {
	case p.head == nil:
		e, c.Line = p.base, 0
		c.Details = []string{"removed; it could not be read"}
	case !p.head.opaque():
		c.Details = []string{"could not be read before"}
	case p.head.unrendered:
		c.Details = []string{"a Helm template, not rendered"}
	default:
		c.Details = []string{"can't be read"}
	}
	c.File, c.Resource, c.Environment = clean(e.file.path, 500), clean(e.file.path, 200), m.judge.policy.byPath(e.file.path, m.judge.branch)
	m.changes = append(m.changes, c)
	if p.head != nil {
		m.touchedFile[p.head.file] = true
	}
}

func (m *judgement) policyChange(p pair) {
	c := Change{Resource: PolicyFile, File: PolicyFile, Line: 1, Tenant: Untagged, Policy: true}
	root := func(e *evaluation) *node {
		if e == nil || e.file.policy == nil {
			return nil
		}
		return e.file.policy.root
	}
	switch {
	case p.base == nil:
		c.Kind = Added
	case p.head == nil:
		c.Kind, c.Line = Removed, 0
	default:
		c.Kind = Modified
		d := differ{values: true}
		d.diff("", root(p.base), root(p.head))
		if c.Details = d.phrases(); len(c.Details) == 0 {
			return
		}
	}
	m.changes = append(m.changes, c)
	if p.head != nil {
		m.touchedFile[p.head.file] = true
	}
}

// identity is what makes two resources the same one: the file doesn't count, the
// environment does.
func (s side) identity() string {
	name := "n" + s.Name
	if s.Name == "" {
		name = "g" + s.GenerateName
	}
	return strings.Join([]string{s.group, s.Kind, s.Namespace, name, string(s.env)}, "\x00")
}

// group holds the resources of one identity. Only objects named by generateName,
// and mistakes, have more than one on a side.
type group struct{ from, to []side }

// matchResources pairs the resources of equal identity: those that are equal first,
// then those in the same file, then in order.
func (m *judgement) matchResources(from, to []side) {
	groups := map[string]*group{}
	var order []*group
	of := func(s side) *group {
		id := s.identity()
		if groups[id] == nil {
			groups[id] = &group{}
			order = append(order, groups[id])
		}
		return groups[id]
	}
	for _, s := range from {
		g := of(s)
		g.from = append(g.from, s)
	}
	for _, s := range to {
		g := of(s)
		g.to = append(g.to, s)
	}
	for _, g := range order {
		if len(g.from) == 1 && len(g.to) == 1 {
			m.modified(g.from[0], g.to[0])
			continue
		}
		if len(g.from) > 0 && len(g.to) > 0 {
			byDigest := func(s side) string { return digest(s.root) }
			m.matchBy(g, func(s side) string { return s.file.path + "\x00" + byDigest(s) })
			m.matchBy(g, byDigest)
			m.matchBy(g, func(s side) string { return s.file.path })
			m.matchBy(g, func(side) string { return "" })
		}
		for _, s := range g.to {
			m.touched[s.resource], m.touchedFile[s.file] = true, true
			m.change(Added, s, nil)
		}
		for _, s := range g.from {
			m.change(Removed, s, nil)
		}
	}
}

// matchBy pairs the first of each side that have the same key, and leaves the
// others in the group.
func (m *judgement) matchBy(g *group, key func(side) string) {
	waiting := map[string][]int{}
	for i, s := range g.from {
		k := key(s)
		waiting[k] = append(waiting[k], i)
	}
	paired := map[int]bool{}
	var rest []side
	for _, s := range g.to {
		k := key(s)
		if len(waiting[k]) == 0 {
			rest = append(rest, s)
			continue
		}
		i := waiting[k][0]
		waiting[k] = waiting[k][1:]
		paired[i] = true
		m.modified(g.from[i], s)
	}
	g.to = rest
	var left []side
	for i, s := range g.from {
		if !paired[i] {
			left = append(left, s)
		}
	}
	g.from = left
}

// modified words the difference between a resource and its successor.
func (m *judgement) modified(from, to side) {
	d := differ{secret: to.Kind == "Secret" && to.group == "", values: to.group == Group, labels: m.judge.policy.TenantLabels}
	if from.tenant != to.tenant {
		d.say("tenant " + string(from.tenant) + " -> " + string(to.tenant))
	}
	d.diff("", from.root, to.root)
	details := d.phrases()
	if len(details) == 0 {
		return
	}
	m.touched[to.resource], m.touchedFile[to.file] = true, true
	m.matched = append(m.matched, match{from, to})
	m.change(Modified, to, details)
}

func (m *judgement) change(kind ChangeKind, s side, details []string) {
	c := Change{Kind: kind, Resource: s.title(), File: clean(s.file.path, 500), Line: s.kindAt.Line, Tenant: s.tenant, Environment: s.env, Details: details}
	switch own := s.own.(type) {
	case *Tenant, *RateCard, *SystemAllowlist:
		c.Policy = true
	case *Budget:
		c.Policy = true
		if kind != Modified {
			c.Details = append(c.Details, "amount "+own.Amount.String()+" for "+string(own.Environment))
		}
	case nil:
		// A document of ours that can't be decoded is still an edit of policy.
		c.Policy = s.group == Group && slices.Contains([]string{"Tenant", "Budget", "RateCard", "SystemAllowlist"}, s.Kind)
	}
	if kind == Removed {
		c.Line = 0
	}
	m.changes = append(m.changes, c)
}
