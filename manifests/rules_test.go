package manifests_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/manifests"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const twoTenants = `apiVersion: conductor.dev/v1
kind: Tenant
metadata: {name: acme}
spec: {displayName: Acme, regime: none, owners: [team-acme]}
---
apiVersion: conductor.dev/v1
kind: Tenant
metadata: {name: globex}
spec: {displayName: Globex, regime: cjis, owners: [team-globex]}
`

// example turns the text of a rule's page into trees; base is nil without one.
func example(text string, tenants bool) (base, head *manifests.Snapshot) {
	var b, h []*manifests.File
	if tenants {
		f := manifests.Parse("declared.yaml", []byte(twoTenants))
		b, h = append(b, f), append(h, f)
	}
	judged := false
	if !strings.Contains(text, "# file: ") {
		text = "# file: prod/web.yaml\n" + text
	}
	for _, part := range strings.Split(text, "# file: ")[1:] {
		path, body, _ := strings.Cut(part, "\n")
		path, side, _ := strings.Cut(path, " ")
		f := manifests.Parse(path, []byte(body))
		if side != "(head)" {
			b = append(b, f)
		}
		if side != "(base)" {
			h = append(h, f)
		}
		judged = judged || side != ""
	}
	head = manifests.NewSnapshot(h)
	if judged {
		base = manifests.NewSnapshot(b)
	}
	return base, head
}

func judgeExample(t *testing.T, text string, tenants bool) manifests.Verdict {
	t.Helper()
	base, head := example(text, tenants)
	o := manifests.Options{Now: now}
	if base == nil {
		return manifests.Check(head, o)
	}
	return manifests.Judge(base, head, o)
}

// unwritable are the examples that YAML text can't show.
var unwritable = map[string]*manifests.File{
	"file/too-large":  manifests.Parse("prod/web.yaml", make([]byte, manifests.MaxFileBytes+1)),
	"file/symlink":    manifests.Refuse("prod/web.yaml", "file/symlink", "../shared/web.yaml"),
	"file/submodule":  manifests.Refuse("prod/web.yaml", "file/submodule", ""),
	"file/bad-path":   manifests.Parse("../prod/web.yaml", nil),
	"file/unreadable": manifests.Refuse("prod/web.yaml", "file/unreadable", "no such object"),
}

func TestRules_EachWrongExampleBreaksExactlyItsRuleAndEachRightOneNone(t *testing.T) {
	for _, r := range manifests.Rules() {
		t.Run(r.ID, func(t *testing.T) {
			tenants := !strings.Contains(r.Wrong+r.Right, "kind: Tenant\n") || r.ID == "tenant/duplicate"
			v := judgeExample(t, r.Wrong, tenants && r.ID != "tenant/none-declared")
			if f := unwritable[r.ID]; f != nil {
				v = manifests.Check(manifests.NewSnapshot([]*manifests.File{f}), manifests.Options{Now: now})
			}
			var got []string
			for _, f := range v.Findings {
				if f.Rule == "policy/edited" && r.ID != f.Rule {
					continue // an example that edits a Tenant says so, too
				}
				got = append(got, f.Rule)
				assert.Equal(t, r.Default, f.Severity, f.Message)
				assert.NotEmpty(t, f.Message)
				assert.NotEmpty(t, f.Remedy)
				assert.Equal(t, r.Check == manifests.CheckBudget, f.Budget)
			}
			require.NotEmpty(t, got)
			assert.Equal(t, []string{r.ID}, slices.Compact(got))
			right := judgeExample(t, r.Right, tenants)
			assert.Empty(t, right.Findings)
			assert.False(t, right.Failed())
		})
	}
}

func TestRules_PagesAreCompleteAndSorted(t *testing.T) {
	rules := manifests.Rules()
	assert.True(t, slices.IsSortedFunc(rules, func(a, b manifests.Rule) int { return strings.Compare(a.ID, b.ID) }))
	for _, r := range rules {
		for _, s := range []string{r.ID, r.Check, string(r.Default), r.Summary, r.Why, r.Wrong, r.Right, r.Remedy} {
			assert.NotEmpty(t, s, r.ID)
		}
		page, ok := manifests.Explain(r.ID)
		assert.True(t, ok)
		assert.Equal(t, r, page)
	}
	_, ok := manifests.Explain("tenant/absent")
	assert.False(t, ok)
}
