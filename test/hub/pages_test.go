package hub_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/test/hub"
)

func (w *world) page(path string) (int, string, http.Header) {
	w.t.Helper()
	resp, err := http.Get(w.h.URL() + path)
	require.NoError(w.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	return resp.StatusCode, string(raw), resp.Header
}

func TestPage_OfAPullRequestShowsWhatPeopleNeed(t *testing.T) {
	w := newWorld(t, hub.Options{})
	pr, _ := w.pull("f", map[string]string{"b.yaml": "one: 1\ntwo: 2\n"})
	bot := w.bot()
	_, _, err := bot.Checks.CreateCheckRun(ctx, "acme", "shop", github.CreateCheckRunOptions{Name: "conductor/tenants", HeadSHA: pr.GetHead().GetSHA(), Status: github.String("completed"), Conclusion: github.String("failure"),
		Output: &github.CheckRunOutput{Title: github.String("1 problem"), Summary: github.String("**bold**"), Annotations: []*github.CheckRunAnnotation{
			{Path: github.String("b.yaml"), StartLine: github.Int(2), EndLine: github.Int(2), AnnotationLevel: github.String("failure"), Message: github.String("no <tenant>"), Title: github.String("tenant/missing")},
			{Path: github.String("README.md"), StartLine: github.Int(1), EndLine: github.Int(1), AnnotationLevel: github.String("warning"), Message: github.String("outside the diff")},
			{Path: github.String("../../etc/passwd"), StartLine: github.Int(9), EndLine: github.Int(9), AnnotationLevel: github.String("notice"), Message: github.String("nowhere")}}}})
	require.NoError(t, err)
	_, _, err = bot.Issues.CreateComment(ctx, "acme", "shop", 1, &github.IssueComment{Body: github.String("<!-- marker -->\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n<details><summary>More</summary>\n\nhidden\n</details>")})
	require.NoError(t, err)
	status, body, hd := w.page("/acme/shop/pull/1")
	require.Equal(t, 200, status)
	assert.Contains(t, hd.Get("Content-Security-Policy"), "default-src 'none'")
	for _, want := range []string{"Change f", "conductor/tenants", "<strong>bold</strong>", "tenant/missing", "no &lt;tenant&gt;", "outside the diff", "# Shop",
		`<td align="right">2</td>`, "<summary>More</summary>", "conductor[bot]", `href="/-/hub.css"`} {
		assert.Contains(t, body, want)
	}
	assert.NotContains(t, body, "marker")
	line := strings.Index(body, "two: 2")
	note := strings.Index(body, "no &lt;tenant&gt;")
	assert.Less(t, line, note, "the annotation stands under its line")
	assert.NotContains(t, body, "root:")
}

func TestPage_EscapesEverythingForeign(t *testing.T) {
	w := newWorld(t, hub.Options{})
	evil := `<script>alert(1)</script><img src=x onerror=alert(2)>"'`
	g := w.clone(w.alice, w.repo)
	g.git("checkout", "--quiet", "-b", "f")
	g.commit(evil, map[string]string{"<b>.md": evil + "\n[x](javascript:alert(3)) <a href='java\tscript:alert(4)'>y</a> <style>*{}</style>\n", "c<i>.txt": evil})
	g.git("push", "--quiet", "origin", "f")
	_, _, err := w.user(w.alice).PullRequests.Create(ctx, "acme", "shop", &github.NewPullRequest{Title: &evil, Head: github.String("f"), Base: github.String("main"), Body: &evil})
	require.NoError(t, err)
	w.comment("[x](javascript:alert(5)) ![i](data:text/html,x) " + evil)
	for _, path := range []string{"/", "/acme", "/acme/shop", "/acme/shop/pulls", "/acme/shop/pull/1", "/acme/shop/tree/f", "/acme/shop/blob/f/%3Cb%3E.md", "/acme/shop/blob/f/c%3Ci%3E.txt",
		"/acme/shop/commits/f", "/acme/shop/commit/" + g.git("rev-parse", "HEAD")} {
		status, body, hd := w.page(path)
		assert.Equal(t, 200, status, path)
		// Escaped text has no "<", so what is between angle brackets is a real tag.
		assert.NotRegexp(t, `(?i)<[^>]*(javascript:|onerror|data:)|<(script|style)\b`, body, path)
		assert.Equal(t, "nosniff", hd.Get("X-Content-Type-Options"))
	}
	for _, path := range []string{"/nobody/nothing", "/acme/shop/pull/99", "/acme/shop/pull/x", "/acme/shop/pull", "/acme/shop/blob/main/../../../etc/passwd", "/acme/shop/blob/--help/x",
		"/acme/shop/tree/main%00/x", "/acme/shop/blob/main", "/acme/shop/commit/--output=x", "/acme/shop/nonsense", "/-/x.css"} {
		status, _, _ := w.page(path)
		assert.Equal(t, 404, status, path)
	}
}

func TestPage_BrowsesRelativeLinks(t *testing.T) {
	w := newWorld(t, hub.Options{})
	g := w.clone(w.alice, w.repo)
	g.commit("Log", map[string]string{"log/README.md": "[entry](00/CL-1.md#top)\n", "log/00/CL-1.md": "# CL-1\n"})
	g.git("push", "--quiet", "origin", "main")
	_, body, _ := w.page("/acme/shop/tree/main/log")
	assert.Contains(t, body, `href="/acme/shop/blob/main/log/00/CL-1.md#top"`)
	status, body, _ := w.page("/acme/shop/blob/main/log/00/CL-1.md")
	assert.Equal(t, 200, status)
	assert.Contains(t, body, "CL-1</h1>")
}
