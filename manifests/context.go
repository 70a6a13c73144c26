package manifests

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// judge is what a judgement goes by: the policy, tenants, budgets, rates and
// allowlists of the base, and the circumstances.
type judge struct {
	policy  Policy
	tenants map[TenantID]*Tenant
	names   []string // of tenants, sorted, for suggestions
	// ofNamespace and pathTenants attribute objects that carry no tag.
	ofNamespace map[string]TenantID
	pathTenants []*Tenant
	allowed     map[allowKey]AllowedJob
	budgets     []*Budget // first of each environment and tenant, sorted
	rates       *RateCard
	now         time.Time
	branch      string
	digest      string // of the policy inputs
	// key stands for everything above that a file's evaluation depends on.
	key [sha256.Size]byte
}

type allowKey struct{ kind, namespace, name string }

func newJudge(base *Snapshot, o Options) *judge {
	j := &judge{policy: base.Policy(), now: o.Now.UTC(), branch: o.Branch, tenants: map[TenantID]*Tenant{},
		ofNamespace: map[string]TenantID{}, allowed: map[allowKey]AllowedJob{}, rates: builtInRates}
	var inputs, ordered []string
	if base.policy != nil && base.policy.policy != nil {
		inputs = append(inputs, "policy "+digest(base.policy.policy.root))
	}
	budgets := map[budgetKey]*Budget{}
	var cards []*RateCard
	for _, r := range base.own() {
		if r.own == nil || !j.policy.covers(r.file.path) {
			continue
		}
		switch own := r.own.(type) {
		case *Tenant:
			if j.tenants[own.ID] == nil {
				j.tenants[own.ID] = own
				j.attribute(own)
			}
		case *Budget:
			k := budgetKey{own.Environment, own.Tenant}
			if budgets[k] == nil {
				budgets[k] = own
				j.budgets = append(j.budgets, own)
			}
		case *RateCard:
			cards = append(cards, own)
		case *SystemAllowlist:
			for _, a := range own.Jobs {
				k := allowKey{a.Kind, a.Namespace, a.Name}
				if a.Expires.After(j.allowed[k].Expires) {
					j.allowed[k] = a
				}
			}
		default:
			continue
		}
		inputs = append(inputs, r.Kind+" "+digest(r.root))
		ordered = append(ordered, inputs[len(inputs)-1])
	}
	if c := chooseRates(cards); c != nil {
		j.rates = c
	}
	for id := range j.tenants {
		j.names = append(j.names, string(id))
	}
	slices.Sort(j.names)
	slices.SortFunc(j.budgets, func(a, b *Budget) int {
		return cmp.Or(compareEnvironments(a.Environment, b.Environment), strings.Compare(string(a.Tenant), string(b.Tenant)))
	})
	slices.Sort(inputs)
	sum := sha256.Sum256([]byte(strings.Join(inputs, "\n")))
	j.digest = hex.EncodeToString(sum[:])
	// The digest ignores the order of documents, which decides between duplicates;
	// the key may not.
	j.key = sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n%q", j.digest, j.branch, j.now.Format(time.DateOnly), ordered))
	return j
}

type budgetKey struct {
	env    Environment
	tenant TenantID
}

// attribute notes which namespaces and paths are a tenant's. A namespace that two
// tenants claim belongs to neither.
func (j *judge) attribute(t *Tenant) {
	for _, ns := range t.Namespaces {
		if _, claimed := j.ofNamespace[ns]; claimed {
			j.ofNamespace[ns] = Untagged
		} else {
			j.ofNamespace[ns] = t.ID
		}
	}
	if len(t.Paths) > 0 {
		j.pathTenants = append(j.pathTenants, t)
	}
}

// chooseRates picks the card named default, else the first.
func chooseRates(cards []*RateCard) *RateCard {
	for _, c := range cards {
		if c.Name == "default" {
			return c
		}
	}
	if len(cards) > 0 {
		return cards[0]
	}
	return nil
}

// owner is the tenant that a namespace or a path belongs to, or "".
func (j *judge) owner(namespace, path string) TenantID {
	if t, ok := j.ofNamespace[namespace]; ok && namespace != "" && t != Untagged {
		return t
	}
	var found TenantID
	for _, t := range j.pathTenants {
		if matchAny(t.Paths, path) {
			if found != "" {
				return ""
			}
			found = t.ID
		}
	}
	return found
}

// environment tells where a resource runs: its label, what a Workflow says, the
// path, the namespace.
func (j *judge) environment(r *resource, ofPath Environment) Environment {
	if l := r.meta.at("labels", EnvironmentLabel).text(); labelValue.MatchString(l) {
		if e := j.policy.byName(l); e != "" {
			return e
		}
		return Environment(l)
	}
	switch own := r.own.(type) {
	case *Workflow:
		if own.Environment != "" {
			return own.Environment
		}
	case *Budget:
		return own.Environment
	}
	if ofPath != "" {
		return ofPath
	}
	if e := j.policy.byName(r.Namespace); e != "" {
		return e
	}
	return j.policy.byToken(r.Namespace)
}

// compareEnvironments orders dev, stage, prod, then others by name, "" last.
func compareEnvironments(a, b Environment) int {
	rank := func(e Environment) int {
		switch e {
		case "dev":
			return 0
		case "stage":
			return 1
		case "prod":
			return 2
		case "":
			return 4
		}
		return 3
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(string(a), string(b)))
}

// digest is the sha256 (hex) of a value's meaning: order of keys, comments,
// quoting and layout don't count.
func digest(n *node) string {
	h := sha256.New()
	var buf []byte
	var walk func(n *node)
	walk = func(n *node) {
		switch {
		case n == nil:
			buf = append(buf, 'n')
		case n.kind == scalarNode:
			buf = fmt.Appendf(buf, "s%s %d %s", n.tag, len(n.value), n.value)
		case n.kind == sequenceNode:
			buf = fmt.Appendf(buf, "l%d", len(n.items))
			for _, e := range n.items {
				walk(e)
			}
		default:
			sorted := slices.Clone(n.fields)
			slices.SortStableFunc(sorted, func(a, b field) int { return strings.Compare(a.key, b.key) })
			buf = fmt.Appendf(buf, "m%d", len(sorted))
			for _, f := range sorted {
				buf = fmt.Appendf(buf, "k%d %s", len(f.key), f.key)
				walk(f.value)
			}
		}
		if len(buf) > 4096 {
			h.Write(buf)
			buf = buf[:0]
		}
	}
	walk(n)
	h.Write(buf)
	return hex.EncodeToString(h.Sum(nil))
}
