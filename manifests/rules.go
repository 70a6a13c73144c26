package manifests

import (
	"slices"
	"strings"
)

// Rule is the page of one rule, as `conductor explain` prints it.
//
// Wrong and Right are YAML. Lines of the form "# file: PATH" start a file;
// "# file: PATH (base)" and "(head)" are that file before and after a pull
// request. Without such lines the example is a single file. The Tenants acme and
// globex are declared beside each example, unless it says otherwise.
type Rule struct {
	ID      string   // e.g. tenant/missing; never changes its meaning
	Check   string   // CheckTenants or CheckBudget
	Default Severity // without enforcement in the policy
	Summary string   // one clause: what is wrong
	Why     string   // one or two sentences, with the control it serves
	Wrong   string
	Right   string
	Remedy  string // one sentence: what to do
}

// The two checks that findings belong to.
const (
	CheckTenants = "tenants"
	CheckBudget  = "budget"
)

// rules in alphabetical order of ID; read-only.
var rules = func() []Rule {
	all := slices.Concat(fileRules(), schemaRules(), tenantRules(), jobRules(), costRules())
	slices.SortFunc(all, func(a, b Rule) int { return strings.Compare(a.ID, b.ID) })
	for i := range all {
		if all[i].Check == "" {
			all[i].Check = CheckTenants
		}
		if all[i].Default == "" {
			all[i].Default = SeverityError
		}
	}
	return all
}()

// ruleIndex holds the position of each rule in rules; read-only.
var ruleIndex = func() map[string]int {
	m := make(map[string]int, len(rules))
	for i, r := range rules {
		m[r.ID] = i
	}
	return m
}()

// Explain returns the page of a rule.
func Explain(id string) (Rule, bool) {
	i, ok := ruleIndex[id]
	if !ok {
		return Rule{}, false
	}
	return rules[i], true
}

// Rules returns the pages of all rules, sorted by ID.
func Rules() []Rule { return slices.Clone(rules) }

func ruleIDs() []string {
	ids := make([]string, len(rules))
	for i, r := range rules {
		ids[i] = r.ID
	}
	return ids
}
