package render

import (
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"

	"github.com/conductor-dev/conductor/manifests"
	"github.com/conductor-dev/conductor/reconcile"
)

// nasty are texts that try to leave their place.
var nasty = []string{
	"", " ", "@everyone", "@acme/admins please", "#1", "acme/shop#12", "GH-12", "org/repo@0123456789abcdef0123456789abcdef01234567",
	"0123456789abcdef0123456789abcdef01234567", "https://evil.example/x", "www.evil.example", "javascript:alert(1)", "<javascript:alert(1)>",
	"[click](https://evil.example)", "![x](https://evil.example/p.png)", "[a]: https://evil.example", "<img src=x onerror=alert(1)>",
	"</details>", "</sub>", "<!--", "-->", "<script>", "&lt;b&gt;", "&#64;admin", "a | b | c", `a \| b`, `\`, `x\`, "`", "``", "```\nx", "` | `", "|", "||||",
	"# heading", "- item", "1. item", "> quote", "---", "===", "    indented", "| a |\n| - |", "*x*", "_x_", "~~x~~", "**", ":smile:", "$x$", "$`x`$",
	"a\nb", "a\r\n\r\nb", "\n\n# x\n\n", "\t", "\x00\x1b[31mred\x1b[0m\x07", "\u202eevil\u202c", "a\u200bb", "\u2028x\u2029", "\xff\xfe", "🚀👩‍💻", "e\u0301\u0301\u0301\u0301\u0301\u0301\u0301",
	"<details><summary>x", "- [ ] task", "[^1]", "[[wiki]]", "mail@evil.example", "..", "../../etc/passwd", "/abs", "a//b", "x)y(z", "x]y[z", "x>y<z", `"quoted"`, "'", `"`,
	strings.Repeat("`", 5000), strings.Repeat("|", 5000), strings.Repeat("a", 70000), strings.Repeat("👩", 70000), strings.Repeat("x ", 40000),
}

// everywhere is a failing report with s in every foreign field.
func everywhere(s string) reconcile.Report {
	r := failing()
	v := &r.Verdict
	for i := range v.Findings {
		f := &v.Findings[i]
		f.Rule, f.File, f.Message, f.Remedy, f.Resource = s, s, s, s, s
	}
	for i := range v.Changes {
		c := &v.Changes[i]
		c.Resource, c.File, c.Tenant, c.Environment, c.Details = s, s, manifests.TenantID(s), manifests.Environment("e"+s), []string{s, s}
	}
	for i := range v.Cost.Environments {
		e := &v.Cost.Environments[i]
		e.Environment = manifests.Environment(s)
		for j := range e.Tenants {
			e.Tenants[j].Tenant = manifests.TenantID(s)
		}
	}
	for i := range v.Cost.Unpriced {
		u := &v.Cost.Unpriced[i]
		u.Resource, u.File, u.Reason = s, s, s
	}
	v.Cost.Assumptions, v.Cost.Rates = []string{s}, s
	v.Tenants.Title, v.Budget.Title, v.PolicyDigest = s, s, s
	r.Pull.BaseRef, r.Pull.Title, r.Repo.Owner, r.Repo.Name = s, s, s, s
	r.Repo.HTMLURL = "https://github.example/acme/shop"
	return r
}

// shape is what GitHub would make of a page: its blocks, its raw HTML, and where
// its links go. Words and code spans are left out; they are what may differ.
func shape(t testing.TB, page string) (blocks string, links []string) {
	source := []byte(page)
	doc := goldmark.New(goldmark.WithExtensions(extension.GFM, extension.Footnote)).Parser().Parse(text.NewReader(source))
	var b strings.Builder
	require.NoError(t, ast.Walk(doc, func(n ast.Node, enter bool) (ast.WalkStatus, error) {
		switch {
		case !enter:
			if n.Type() != ast.TypeInline {
				b.WriteString(")")
			}
		case n.Type() != ast.TypeInline:
			fmt.Fprintf(&b, "(%s", n.Kind())
			if h, ok := n.(*ast.HTMLBlock); ok {
				for i := range h.Lines().Len() {
					line := h.Lines().At(i)
					b.WriteString(" " + strings.TrimSpace(string(line.Value(source))))
				}
			}
		default:
			switch i := n.(type) {
			case *ast.CodeSpan:
				return ast.WalkSkipChildren, nil
			case *ast.Link:
				links = append(links, string(i.Destination))
			case *ast.RawHTML:
				for s := range i.Segments.Len() {
					segment := i.Segments.At(s)
					// A line break depends on whether there is a remedy at all.
					if tag := string(segment.Value(source)); tag != "<br>" {
						b.WriteString(" " + tag)
					}
				}
			case *ast.Text:
				value := string(i.Segment.Value(source))
				assert.NotContains(t, value, "@")
				assert.NotContains(t, value, "#")
				assert.NotContains(t, value, "://")
				assert.NotRegexp(t, `[0-9a-f]{7}|GH-|^:\w+:`, value)
			case *ast.String, *ast.Emphasis:
			default:
				fmt.Fprintf(&b, " ?%s", n.Kind())
			}
		}
		return ast.WalkContinue, nil
	}))
	return b.String(), links
}

var harmless = sync.OnceValue(func() string {
	blocks, _ := shape(new(testing.T), Comment(everywhere("harmless")))
	return blocks
})

// checkShape holds a nasty report against a harmless one.
func checkShape(t testing.TB, s string) {
	want := harmless()
	body := Comment(everywhere(s))
	got, links := shape(t, body)
	if len(s) < 300 { // longer ones may cost rows, which the limits test counts
		assert.Equal(t, want, got, "%q changed the page:\n%s", s, body)
	}
	assert.NotContains(t, got, "?", "an inline element that we never write")
	for _, l := range links {
		assert.True(t, strings.HasPrefix(l, "https://github.example/acme/shop/blob/9f3c1e2a7b5d4c6e8f0a1b2c3d4e5f6a7b8c9d0e/"), l)
	}
	assert.LessOrEqual(t, len(body), MaxComment)
	assert.True(t, utf8.ValidString(body))
	assertNoControls(t, body)
	for _, c := range Checks(everywhere(s)) {
		assert.LessOrEqual(t, len(c.Summary), MaxOutput)
		assert.LessOrEqual(t, len(c.Text), MaxOutput)
		assertNoControls(t, c.Summary+c.Text+c.Title)
	}
	var b strings.Builder
	require.NoError(t, Text(&b, everywhere(s).Verdict, Options{Width: 80}))
	assertNoControls(t, b.String())
}

func assertNoControls(t testing.TB, s string) {
	for _, r := range s {
		if r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x202e || r == 0x200b || r == 0x2028) {
			assert.Fail(t, "control character", "%U", r)
			return
		}
	}
}

func TestComment_ForeignTextNeverChangesThePage(t *testing.T) {
	for _, s := range nasty {
		checkShape(t, s)
	}
}

func TestComment_RandomMixesOfNastyTextNeverChangeThePage(t *testing.T) {
	seed := rand.Int63()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewSource(seed))
	for range 60 {
		var s strings.Builder
		for range 1 + rnd.Intn(5) {
			part := nasty[rnd.Intn(len(nasty)-5)]
			s.WriteString(part[:rnd.Intn(len(part)+1)])
			s.WriteString([]string{"", " ", "\n", "|", "`"}[rnd.Intn(5)])
		}
		checkShape(t, s.String())
	}
}

func FuzzComment(f *testing.F) {
	for _, s := range nasty {
		f.Add(s)
	}
	f.Fuzz(checkShapeF)
}

func checkShapeF(t *testing.T, s string) { checkShape(t, s) }

func TestComment_NeverExceedsTheLimitAndCountsWhatItDrops(t *testing.T) {
	for _, s := range []string{"x", strings.Repeat("👩", 1000), strings.Repeat("` | ", 500)} {
		r := everywhere(s)
		v := &r.Verdict
		for range 5000 {
			v.Findings = append(v.Findings, v.Findings[:4]...)
			v.Changes = append(v.Changes, v.Changes[:2]...)
			v.Cost.Environments = append(v.Cost.Environments, v.Cost.Environments[1])
			v.Cost.Environments[1].Tenants = append(v.Cost.Environments[1].Tenants, v.Cost.Environments[1].Tenants[0])
			v.Cost.Unpriced = append(v.Cost.Unpriced, v.Cost.Unpriced[0])
			v.Cost.Assumptions = append(v.Cost.Assumptions, s)
			if len(v.Findings) > 20000 {
				break
			}
		}
		body := Comment(r)
		assert.LessOrEqual(t, len(body), MaxComment)
		assert.Contains(t, body, "… and ")
		assert.Equal(t, strings.Count(body, "<details>"), strings.Count(body, "</details>"))
		assert.True(t, strings.HasSuffix(body, "</sub>\n"))
		got, _ := shape(t, body)
		assert.NotContains(t, got, "?", "an inline element that we never write")
		for _, c := range Checks(r) {
			assert.LessOrEqual(t, len(c.Summary), MaxOutput)
			assert.LessOrEqual(t, len(c.Text), MaxOutput)
			if s == "x" {
				assert.Len(t, c.Annotations, MaxAnnotations)
				assert.Contains(t, c.Summary, "500 findings annotated in the diff")
			}
		}
	}
}

func TestChecks_AnnotateFailuresFirstAndNotOlderProblems(t *testing.T) {
	f := func(s manifests.Severity, file string, existing bool) manifests.Finding {
		return manifests.Finding{Rule: "r/x", Severity: s, File: file, Line: 1, Existing: existing, Message: "m"}
	}
	runs := Checks(report(manifests.Verdict{Findings: []manifests.Finding{
		f(manifests.SeverityNotice, "a", false), f(manifests.SeverityWarning, "b", false), f(manifests.SeverityError, "c", false),
		f(manifests.SeverityNotice, "d", true), f(manifests.SeverityError, "e", false),
	}}))
	var got []string
	for _, a := range runs[0].Annotations {
		got = append(got, fmt.Sprintf("%s %s", a.Level, a.Path))
	}
	assert.Equal(t, []string{"failure c", "failure e", "warning b", "notice a"}, got)
	assert.Empty(t, runs[1].Annotations)
	assert.Contains(t, runs[0].Text, "1 older problem")
}

func TestChecks_CountWhatCantBeAnnotated(t *testing.T) {
	f := func(file string) manifests.Finding {
		return manifests.Finding{Rule: "r/x", Severity: manifests.SeverityError, File: file, Line: 1, Message: "m"}
	}
	run := Checks(report(manifests.Verdict{Findings: []manifests.Finding{f("a.yaml"), f(""), f("x\x00y"), f("\xff"), f("a\nb")}}))[0]
	assert.Len(t, run.Annotations, 1)
	assert.Contains(t, run.Summary, "1 finding annotated in the diff, 4 more are not.")
	assert.Equal(t, 5, strings.Count(run.Summary, "`r/x`"), "all are listed")
}

func TestBlobURL_MakesOnlySafeLinks(t *testing.T) {
	const sha = "9f3c1e2a7b5d4c6e8f0a1b2c3d4e5f6a7b8c9d0e"
	assert.Equal(t, "https://github.example/acme/shop/blob/"+sha+"/a%20b/c%28d%29.yaml#L3",
		blobURL("https://github.example/acme/shop", sha, "a b/c(d).yaml", 3))
	for _, bad := range [][3]string{
		{"javascript:alert(1)", sha, "a"}, {"https://x y/", sha, "a"}, {"https://github.example", "HEAD", "a"},
		{"https://github.example/a/b", sha, "../../x"}, {"https://github.example/a/b", sha, "a//b"}, {"https://github.example/a/b", sha, ""},
		{"https://user:pw)(@x", sha, strings.Repeat("a", 2000)}, {"", sha, "a"},
	} {
		assert.Empty(t, blobURL(bad[0], bad[1], bad[2], 1), "%v", bad)
	}
}

func TestProse_LeavesSentencesReadable(t *testing.T) {
	for in, want := range map[string]string{
		`Deployment shop/web has no label conductor.dev/tenant-id`: "Deployment `shop/web` has no label `conductor.dev/tenant-id`",
		`tenant "old-team" isn't known (yet)`:                      `tenant "old-team" isn't known (yet)`,
		`value "a/b", twice`:                                       "value `a/b`, twice",
		`replicas 3 -> 6`:                                          "replicas 3 → 6",
		`costs $1,200.50, 5% more than 12 months ago.`:             "costs $1,200.50, 5% more than 12 months ago.",
		`since deadbeef`:                                           "since `deadbeef`",
		`ask @admin about #12 or GH-12`:                            "ask `@admin` about `#12` or `GH-12`",
	} {
		assert.Equal(t, want, prose(in))
	}
}

func BenchmarkComment(b *testing.B) {
	for _, n := range []int{1, 100, 10000} {
		b.Run(fmt.Sprintf("findings=%d", 4*n), func(b *testing.B) {
			r := failing()
			one := r.Verdict.Findings
			for range n - 1 {
				r.Verdict.Findings = append(r.Verdict.Findings, one...)
			}
			b.ReportAllocs()
			for b.Loop() {
				Comment(r)
			}
		})
	}
}
