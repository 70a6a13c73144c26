package ledger

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
)

var update = flag.Bool("update", false, "write golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got), "run with -update and review")
}

func numbered(t *testing.T, d Draft, n int64) *entry {
	t.Helper()
	d, err := described(d)
	require.NoError(t, err)
	e, err := newEntry(d, n, epoch)
	require.NoError(t, err)
	return e
}

func TestPage_TellsWhoWhatAndHow(t *testing.T) {
	p := testKeys(t, "audit.example.com").Public()
	golden(t, "page.md", page(p, numbered(t, draft(551), 552)))

	d := draft(3)
	c := &d.Change
	c.Method, c.PullRequest, c.Merger, c.Reviews, c.Checks, c.Cost = MethodDirectPush, nil, nil, []Review{}, nil, nil
	c.Unknown, d.Patch = []string{"checks"}, nil
	golden(t, "page-direct-push.md", page(p, numbered(t, d, 4)))
}

func TestStatement_IsCanonicalAndStable(t *testing.T) {
	golden(t, "statement.json", numbered(t, draft(551), 552).statement)
}

// nasty are names that try to leave their place.
var nasty = []string{
	"<script>alert(1)</script>", "</td></tr></table><img src=x onerror=alert(1)>", "@everyone", "@acme/security", "#1", "acme/shop#1", "GH-1",
	"[x](https://evil.example)", "![x](https://evil.example/x.png)", "https://evil.example", "http://evil.example/?a=b", "www.evil.example", "mail@evil.example",
	"| a | b |", "a\n\n# Heading", "```\ncode", "`code`", "**bold** __bold__ ~~gone~~", "&lt;b&gt; &#64;x", "<!-- comment", "<https://evil.example>",
	"\\| \\` \\*", "$\\math$", ":tada:", "- item", "1. item", "> quote", "+ x", "a\u202egnp.exe", "zero\u200bwidth", "tab\tnew\rline", "\x00\x1b[31m", "[^1]", "[ ] task",
	"mailto:x@evil.example", "ftp://evil.example", "\xff\xfe", strings.Repeat("long ", 200), "=====", "-----", "",
}

func renderMarkdown(t *testing.T, src []byte) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, goldmark.New(goldmark.WithExtensions(extension.GFM)).Convert(src, &b))
	return b.String()
}

var (
	codeSpan = regexp.MustCompile(`<code>[^<]*</code>`)
	mention  = regexp.MustCompile(`(^|\W)@[a-zA-Z]\S*`)
)

var tag = regexp.MustCompile(`<[^>]*>`)

func TestPage_NastyNamesStayText(t *testing.T) {
	p := testKeys(t, "audit.example.com").Public()
	fill := func(s string) []byte {
		d := draft(0)
		c := &d.Change
		c.Subject, c.Branch, c.Repository.Name, c.Method, c.PolicyDigest = s, s, s, Method(s), s
		c.Author, c.Committer, c.Merger = Person{Name: s, Email: s}, Person{Login: s}, &Person{Login: s, ID: 1}
		c.PullRequest.Title, c.PullRequest.Author.Login = s, s
		c.Reviews[0] = Review{Reviewer: Person{Login: s}, State: s, Commit: s, SubmittedAt: epoch}
		c.Checks[0], c.Tenants, c.Unknown = CheckResult{s, s}, []string{s}, []string{s}
		c.Semantic[0] = SemanticChange{Kind: s, Resource: s, Tenant: s, Environment: s, File: s, Details: []string{s}}
		c.Cost[0] = CostDelta{Environment: s, Currency: s, Before: s, After: s}
		c.Class = Class{s, s}
		e := numbered(t, d, 1)
		front, err := readme(p, newest(nil, []*entry{e}))
		require.NoError(t, err)
		out := append(page(p, e), dayPage(s, epoch, 1, []string{summary(e, dayUp)})...)
		return append(out, front...)
	}
	plainTags := tag.FindAllString(renderMarkdown(t, fill("plain")), -1)
	count := map[string]int{}
	for _, x := range plainTags {
		count[x]++
	}
	for i, s := range nasty {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			html := renderMarkdown(t, fill(s))
			got := map[string]int{}
			for _, x := range tag.FindAllString(html, -1) {
				got[x]++
			}
			// The same elements and links as with a plain name; an empty name may
			// leave its row or code span out.
			for x, n := range got {
				assert.LessOrEqual(t, n, count[x], "%q adds %s", s, x)
			}
			if s != "" {
				assert.Equal(t, count["<td>"], got["<td>"])
			}
			// A forge makes no mention of what stands in a code span.
			text := tag.ReplaceAllString(codeSpan.ReplaceAllString(html, ""), "")
			assert.Empty(t, mention.FindString(text))
		})
	}
}

func TestLink_TakesOnlyPlainWebAddresses(t *testing.T) {
	assert.Equal(t, "[x](https://github.com/a/b/pull/1)", link("x", "https://github.com/a/b/pull/1"))
	for _, bad := range []string{"javascript:alert(1)", "https://a.b/) [y](http://c", "https://u:p@host/", "//host/x", "https://a b/", "https://", "data:text/html,x", "https://x/\n"} {
		assert.Equal(t, "x", link("x", bad), bad)
	}
}
