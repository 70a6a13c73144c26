package manifests

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// Policy is what .conductor.yaml says, with defaults for what it doesn't.
type Policy struct {
	// Include and Exclude are doublestar globs on paths. Everything is included
	// by default; the policy file itself can't be excluded.
	Include, Exclude []string
	// TenantLabels are the label keys that carry the tenant; the first one found
	// on an object counts.
	TenantLabels []string
	Environments []EnvironmentRule
	// Enforcement overrides the severity of rules, by rule id.
	Enforcement map[string]Enforcement
	// BudgetGate says what an increase over a budget does: block by default.
	BudgetGate Enforcement
}

// EnvironmentRule maps paths and branches to an environment.
type EnvironmentRule struct {
	Name     Environment
	Paths    []string // doublestar globs
	Branches []string // globs on the base branch
}

// Enforcement is what a finding of a rule does.
type Enforcement string

const (
	Off    Enforcement = "off"    // no finding
	Notice Enforcement = "notice" // a notice
	Warn   Enforcement = "warn"   // a warning
	Block  Enforcement = "block"  // an error, which fails the check
)

// DefaultTenantLabel carries the tenant unless the policy names other keys.
const DefaultTenantLabel = "conductor.dev/tenant-id"

// EnvironmentLabel says where an object runs, whatever its path.
const EnvironmentLabel = "conductor.dev/environment"

// DefaultPolicy is the policy of a repository without .conductor.yaml.
func DefaultPolicy() Policy {
	return Policy{TenantLabels: []string{DefaultTenantLabel}, BudgetGate: Block}
}

// Policy is the snapshot's policy. What is wrong in the file is a finding, and
// the rest of it counts.
func (s *Snapshot) Policy() Policy {
	if s.policy == nil || s.policy.policy == nil {
		return DefaultPolicy()
	}
	return s.policy.policy.Policy
}

// policyDoc is the decoded policy file and its tree, for the digest and changes.
type policyDoc struct {
	Policy
	root *node
}

var labelKey = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$`)

func decodePolicy(f *File, n *node) *policyDoc {
	p := &policyDoc{Policy: DefaultPolicy(), root: n}
	if n.null() {
		return p
	}
	o := object{file: f, n: n, at: n.pos()}
	if n.kind != mappingNode {
		o.note("schema/invalid-value", n.pos(), "", "%s must be a mapping", PolicyFile)
		return p
	}
	// Both lines may head the file, so that it looks like every other manifest.
	o.only("apiVersion", "kind", "paths", "tenantLabels", "environments", "enforcement", "budgets")
	o.oneOf("apiVersion", Group+"/"+Version)
	o.oneOf("kind", "Policy")
	paths := o.object("paths")
	paths.only("include", "exclude")
	p.Include, p.Exclude = paths.globs("include"), paths.globs("exclude")
	var keys []string
	for _, l := range o.sequence("tenantLabels") {
		if l.kind != scalarNode || !labelKey.MatchString(l.value) {
			o.note("schema/invalid-value", l.pos(), "", "tenantLabels must hold label keys such as %s", DefaultTenantLabel)
			continue
		}
		keys = append(keys, l.value)
	}
	if len(keys) > 0 {
		p.TenantLabels = keys
	}
	for _, e := range o.items("environments") {
		e.only("name", "paths", "branches")
		e.require("name")
		if name := e.matching("name", labelValue, wantName); name != "" {
			p.Environments = append(p.Environments, EnvironmentRule{Environment(name), e.globs("paths"), e.globs("branches")})
		}
	}
	enforcement := o.object("enforcement")
	for i := range enforcement.n.fields {
		field := &enforcement.n.fields[i]
		if _, ok := Explain(field.key); !ok {
			o.note("schema/unknown-field", field.pos(), "name a rule; `conductor explain` lists them", "there is no rule %q%s", clean(field.key, 80), didYouMean(field.key, ruleIDs()))
			continue
		}
		if v := enforcement.oneOf(field.key, string(Off), string(Notice), string(Warn), string(Block)); v != "" {
			if p.Enforcement == nil {
				p.Enforcement = map[string]Enforcement{}
			}
			p.Enforcement[field.key] = Enforcement(v)
		}
	}
	budgets := o.object("budgets")
	budgets.only("gate")
	if g := budgets.oneOf("gate", string(Notice), string(Warn), string(Block)); g != "" {
		p.BudgetGate = Enforcement(g)
	}
	return p
}

// globs decodes a list of doublestar patterns, bounded so that matching one
// stays cheap.
func (o object) globs(key string) []string {
	var out []string
	for i, n := range o.sequence(key) {
		g := n.text()
		if g == "" || len(g) > 256 || strings.Count(g, "**") > 4 || strings.Count(g, "*") > 16 || strings.Count(g, "{") > 4 || !doublestar.ValidatePattern(g) {
			o.note("schema/invalid-value", n.pos(), "", "%s[%d] must be a glob such as \"clusters/prod/**\", with few wildcards", o.join(key), i)
			continue
		}
		out = append(out, g)
	}
	return out
}

func matchAny(globs []string, s string) bool {
	return slices.ContainsFunc(globs, func(g string) bool {
		// Most globs of a long list are told apart by their first folders.
		if literal := strings.IndexAny(g, "*?[{\\"); literal > 0 && !strings.HasPrefix(s, strings.TrimSuffix(g[:literal], "/")) {
			return false
		}
		ok, _ := doublestar.Match(g, s) // validated when decoded
		return ok
	})
}

// covers reports whether the policy wants a path to be looked at.
func (p *Policy) covers(path string) bool {
	if path == PolicyFile {
		return true
	}
	return (len(p.Include) == 0 || matchAny(p.Include, path)) && !matchAny(p.Exclude, path)
}

// severity applies the enforcement of a rule; ok is false when it is off.
func (p *Policy) severity(rule string, s Severity) (_ Severity, ok bool) {
	switch p.Enforcement[rule] {
	case Off:
		return s, false
	case Notice:
		return SeverityNotice, true
	case Warn:
		return SeverityWarning, true
	case Block:
		return SeverityError, true
	}
	return s, true
}

// environments known by name without a policy.
var environmentNames = map[string]Environment{
	"dev": "dev", "development": "dev",
	"stage": "stage", "staging": "stage",
	"prod": "prod", "production": "prod", "prd": "prod",
}

func (p *Policy) byName(s string) Environment {
	for _, e := range p.Environments {
		if string(e.Name) == s {
			return e.Name
		}
	}
	return environmentNames[strings.ToLower(s)]
}

// byPath is the environment that a path says: the policy's globs in order, then
// the base branch, then a folder named like an environment (the innermost
// counts), then a part of the file's name.
func (p *Policy) byPath(file, branch string) Environment {
	for _, e := range p.Environments {
		if matchAny(e.Paths, file) {
			return e.Name
		}
	}
	if branch != "" {
		for _, e := range p.Environments {
			if matchAny(e.Branches, branch) {
				return e.Name
			}
		}
	}
	dir, base := path.Split(file)
	dirs := strings.Split(strings.TrimSuffix(dir, "/"), "/")
	for _, d := range slices.Backward(dirs) {
		if e := p.byName(d); e != "" {
			return e
		}
	}
	return p.byToken(strings.TrimSuffix(base, path.Ext(base)))
}

// byToken looks for a name of an environment between '-', '_' and '.'.
func (p *Policy) byToken(s string) Environment {
	for t := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == '-' || r == '_' || r == '.' }) {
		if e := p.byName(t); e != "" {
			return e
		}
	}
	return ""
}
