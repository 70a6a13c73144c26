package github

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	gh "github.com/google/go-github/v60/github"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/manifests"
	"github.com/conductor-dev/conductor/reconcile"
	"github.com/conductor-dev/conductor/test/hub"
)

// world is an organisation on the emulator with one repository, an open pull
// request #1 by alice, and our App.
type world struct {
	t          *testing.T
	hub        *hub.Hub
	app        *App
	hubApp     hub.App
	install    int64
	alice, bob hub.User
	repo       reconcile.Repo
	dir        string // alice's clone
	head       reconcile.CommitSHA
	base       reconcile.CommitSHA
}

func newWorld(t *testing.T) *world {
	t.Helper()
	h, err := hub.Start(hub.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	w := &world{t: t, hub: h}
	w.alice, err = h.CreateUser("alice")
	require.NoError(t, err)
	w.bob, err = h.CreateUser("bob")
	require.NoError(t, err)
	require.NoError(t, h.CreateOrg("acme", "alice", "bob"))
	made, err := h.CreateRepo("acme/shop", hub.RepoOptions{Files: map[string]string{"a.yaml": "a: 1\n"}})
	require.NoError(t, err)
	w.hubApp, err = h.CreateApp(hub.AppOptions{Name: "Conductor",
		Permissions: map[string]string{"metadata": "read", "contents": "read", "pull_requests": "write", "checks": "write"}})
	require.NoError(t, err)
	w.install, err = h.Install(w.hubApp.ID, "acme", "acme/shop")
	require.NoError(t, err)
	w.app = w.newApp(Config{})
	repos, err := w.app.Repositories(t.Context(), w.install)
	require.NoError(t, err)
	require.Len(t, repos, 1)
	w.repo = repos[0]
	w.clone(made.CloneURL)
	w.open()
	h.ResetRequests()
	return w
}

func (w *world) newApp(c Config) *App {
	w.t.Helper()
	c.ID, c.PrivateKey, c.BaseURL = w.hubApp.ID, PrivateKey(w.hubApp.PrivateKeyPEM), w.hub.URL()
	a, err := New(c)
	require.NoError(w.t, err)
	return a
}

func (w *world) clone(address string) {
	w.dir = filepath.Join(w.t.TempDir(), "clone")
	address = strings.Replace(address, "http://", "http://alice:"+w.alice.Token+"@", 1)
	w.git(".", "clone", "--quiet", address, w.dir)
	w.base = reconcile.CommitSHA(w.git(w.dir, "rev-parse", "HEAD"))
}

func (w *world) git(dir string, args ...string) string {
	w.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=alice", "GIT_AUTHOR_EMAIL=alice@example.com", "GIT_COMMITTER_NAME=alice", "GIT_COMMITTER_EMAIL=alice@example.com")
	out, err := cmd.CombinedOutput()
	require.NoError(w.t, err, "git %v: %s", args, out)
	return strings.TrimSpace(string(out))
}

// push commits on the pull request's branch.
func (w *world) push(text string) {
	w.t.Helper()
	require.NoError(w.t, os.WriteFile(filepath.Join(w.dir, "a.yaml"), []byte(text), 0o644))
	w.git(w.dir, "commit", "--quiet", "-am", "Change "+text)
	w.git(w.dir, "push", "--quiet", "-u", "origin", "topic")
	w.head = reconcile.CommitSHA(w.git(w.dir, "rev-parse", "HEAD"))
}

func (w *world) open() {
	w.git(w.dir, "checkout", "--quiet", "-b", "topic")
	w.push("a: 2\n")
	_, _, err := w.as(w.alice).PullRequests.Create(w.t.Context(), "acme", "shop", &gh.NewPullRequest{
		Title: gh.String("Change a"), Head: gh.String("topic"), Base: gh.String("main")})
	require.NoError(w.t, err)
}

// as is a person's client.
func (w *world) as(u hub.User) *gh.Client {
	c, err := gh.NewClient(nil).WithAuthToken(u.Token).WithEnterpriseURLs(w.hub.URL(), w.hub.URL())
	require.NoError(w.t, err)
	return c
}

// failing is a report with n problems; passing one without any.
func (w *world) failing(n int) reconcile.Report {
	v := manifests.Verdict{Compared: true,
		Tenants:        manifests.CheckResult{Conclusion: manifests.Failure, Title: fmt.Sprintf("%d problems in 1 file", n)},
		Budget:         manifests.CheckResult{Conclusion: manifests.Success, Title: "Within budget"},
		TouchedTenants: []manifests.TenantID{"search"}, Files: 1,
		Cost: manifests.CostReport{Currency: "USD", Environments: []manifests.EnvironmentCost{{Environment: "prod",
			Delta: manifests.Money{Amount: decimal.NewFromInt(12), Currency: "USD"}, Check: manifests.Success}}},
	}
	for i := range n {
		v.Findings = append(v.Findings, manifests.Finding{Rule: "tenant/missing", Severity: manifests.SeverityError, File: "a.yaml", Line: i + 1, Column: 1,
			Message: fmt.Sprintf("Workflow w%d has no tenant", i), Remedy: "add the label"})
	}
	return w.report(v)
}

func (w *world) passing() reconcile.Report {
	return w.report(manifests.Verdict{Compared: true, Files: 1,
		Tenants: manifests.CheckResult{Conclusion: manifests.Success, Title: "In order"},
		Budget:  manifests.CheckResult{Conclusion: manifests.Neutral, Title: "Nothing to judge"}})
}

func (w *world) report(v manifests.Verdict) reconcile.Report {
	return reconcile.Report{Repo: w.repo, Pull: reconcile.PullRequest{Number: 1, BaseRef: "main"}, Head: w.head, Base: w.base, Verdict: v}
}

func (w *world) mustReport(r reconcile.Report, before reconcile.Reported) reconcile.Reported {
	w.t.Helper()
	after, err := w.app.Report(w.t.Context(), r, before)
	require.NoError(w.t, err)
	return after
}

// calls are the bot's REST calls since the last look, as "METHOD path".
func (w *world) calls() []string {
	var out []string
	for _, r := range w.hub.BotCalls() {
		out = append(out, r.Method+" "+r.Path)
	}
	w.hub.ResetRequests()
	return out
}

// runs are our check runs on the head by name, all that were ever made.
func (w *world) runs(name string) []*gh.CheckRun {
	w.t.Helper()
	list, _, err := w.as(w.alice).Checks.ListCheckRunsForRef(w.t.Context(), "acme", "shop", string(w.head),
		&gh.ListCheckRunsOptions{CheckName: &name, Filter: gh.String("all")})
	require.NoError(w.t, err)
	return list.CheckRuns
}

func (w *world) comments() []*gh.IssueComment {
	w.t.Helper()
	list, _, err := w.as(w.alice).Issues.ListComments(w.t.Context(), "acme", "shop", 1, &gh.IssueListCommentsOptions{ListOptions: gh.ListOptions{PerPage: 100}})
	require.NoError(w.t, err)
	return list
}

func (w *world) annotations(id int64) []*gh.CheckRunAnnotation {
	w.t.Helper()
	var all []*gh.CheckRunAnnotation
	for page := 1; page > 0; {
		list, resp, err := w.as(w.alice).Checks.ListCheckRunAnnotations(w.t.Context(), "acme", "shop", id, &gh.ListOptions{Page: page, PerPage: 100})
		require.NoError(w.t, err)
		all, page = append(all, list...), resp.NextPage
	}
	return all
}

// fault makes the next matching bot request go wrong once.
func (w *world) fault(kind hub.FaultKind, method, path string) {
	w.hub.Inject(hub.Fault{Kind: kind, Method: method, Path: regexp.MustCompile(path), Count: 1})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
