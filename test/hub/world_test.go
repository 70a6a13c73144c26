package hub_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bradleyfalzon/ghinstallation/v2"
	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/test/contract"
	"github.com/conductor-dev/conductor/test/hub"
)

// world is an organisation with a repository, an App on it and two people.
type world struct {
	t          testing.TB
	h          *hub.Hub
	app        hub.App
	install    int64
	repo       hub.Repo
	alice, bob hub.User // members; eve isn't
	eve        hub.User
	hook       *receiver
}

const hookSecret = "it's a secret"

var appPermissions = map[string]string{"contents": "read", "pull_requests": "write", "checks": "write", "merge_queues": "read"}

var appEvents = []string{"push", "pull_request", "pull_request_review", "check_run", "check_suite", "issue_comment", "merge_group"}

func newWorld(t testing.TB, opt hub.Options) *world {
	t.Helper()
	if opt.Middleware == nil {
		opt.Middleware = contract.New(t)
	}
	h, err := hub.Start(opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	w := &world{t: t, h: h, hook: newReceiver(t)}
	for login, u := range map[string]*hub.User{"alice": &w.alice, "bob": &w.bob, "eve": &w.eve} {
		*u, err = h.CreateUser(login)
		require.NoError(t, err)
	}
	require.NoError(t, h.CreateOrg("acme", "alice", "bob"))
	w.repo, err = h.CreateRepo("acme/shop", hub.RepoOptions{Files: map[string]string{"README.md": "# Shop\n", "a.yaml": "one: 1\ntwo: 2\nthree: 3\n"}})
	require.NoError(t, err)
	w.app, err = h.CreateApp(hub.AppOptions{Name: "Conductor", Permissions: appPermissions, Events: appEvents,
		WebhookURL: w.hook.URL, WebhookSecret: hookSecret})
	require.NoError(t, err)
	w.install, err = h.Install(w.app.ID, "acme", "acme/shop")
	require.NoError(t, err)
	return w
}

func (w *world) user(u hub.User) *github.Client {
	c, err := github.NewClient(nil).WithAuthToken(u.Token).WithEnterpriseURLs(w.h.URL(), w.h.URL())
	require.NoError(w.t, err)
	return c
}

func (w *world) jwt() *github.Client {
	tr, err := ghinstallation.NewAppsTransport(http.DefaultTransport, w.app.ID, w.app.PrivateKeyPEM)
	require.NoError(w.t, err)
	c, err := github.NewClient(&http.Client{Transport: tr}).WithEnterpriseURLs(w.h.URL(), w.h.URL())
	require.NoError(w.t, err)
	return c
}

func (w *world) bot() *github.Client {
	tr, err := ghinstallation.New(http.DefaultTransport, w.app.ID, w.install, w.app.PrivateKeyPEM)
	require.NoError(w.t, err)
	tr.BaseURL = w.h.APIURL()
	c, err := github.NewClient(&http.Client{Transport: tr}).WithEnterpriseURLs(w.h.URL(), w.h.URL())
	require.NoError(w.t, err)
	return c
}

// clone clones a repository as a user, ready to commit in.
func (w *world) clone(u hub.User, repo hub.Repo) *worktree {
	dir := filepath.Join(w.t.TempDir(), "clone")
	url := strings.Replace(repo.CloneURL, "http://", "http://"+u.Login+":"+u.Token+"@", 1)
	g := &worktree{t: w.t, dir: dir, user: u}
	g.dir = filepath.Dir(dir)
	g.git("clone", "--quiet", url, dir)
	g.dir = dir
	return g
}

type worktree struct {
	t    testing.TB
	dir  string
	user hub.User
}

func (g *worktree) try(args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = g.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME="+g.user.Login, "GIT_AUTHOR_EMAIL="+g.user.Email, "GIT_COMMITTER_NAME="+g.user.Login, "GIT_COMMITTER_EMAIL="+g.user.Email)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (g *worktree) git(args ...string) string {
	g.t.Helper()
	out, err := g.try(args...)
	require.NoError(g.t, err, "git %v: %s", args, out)
	return out
}

func (g *worktree) commit(message string, files map[string]string) string {
	g.t.Helper()
	for name, content := range files {
		p := filepath.Join(g.dir, name)
		require.NoError(g.t, os.MkdirAll(filepath.Dir(p), 0o755))
		require.NoError(g.t, os.WriteFile(p, []byte(content), 0o644))
	}
	g.git("add", "-A")
	g.git("commit", "--quiet", "-m", message)
	return g.git("rev-parse", "HEAD")
}

// branch makes a branch with one commit and pushes it.
func (g *worktree) branch(name string, files map[string]string) string {
	g.t.Helper()
	g.git("checkout", "--quiet", "-b", name)
	sha := g.commit("Change "+name, files)
	g.git("push", "--quiet", "-u", "origin", name)
	return sha
}

// receiver is an App's webhook endpoint that checks each delivery and keeps it.
type receiver struct {
	URL  string
	mu   sync.Mutex
	got  []received
	code int
	wait chan struct{}
}

type received struct {
	event, guid string
	header      http.Header
	payload     any
	body        []byte
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{code: 202}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		wait := r.wait
		r.mu.Unlock()
		if wait != nil {
			<-wait
		}
		body, err := io.ReadAll(req.Body)
		if err == nil {
			err = github.ValidateSignature(req.Header.Get("X-Hub-Signature-256"), body, []byte(hookSecret))
		}
		var payload any
		if err == nil {
			payload, err = github.ParseWebHook(github.WebHookType(req), body)
		}
		if err != nil {
			t.Errorf("webhook %s: %v", github.WebHookType(req), err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, received{github.WebHookType(req), github.DeliveryID(req), req.Header, payload, body})
		w.WriteHeader(r.code)
	}))
	t.Cleanup(srv.Close)
	r.URL = srv.URL + "/webhook"
	return r
}

// events waits for all deliveries and takes those of an event.
func (w *world) events(name string) []received {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	require.NoError(w.t, w.h.WaitWebhooks(ctx))
	w.hook.mu.Lock()
	defer w.hook.mu.Unlock()
	var out []received
	for _, r := range w.hook.got {
		if name == "" || r.event == name {
			out = append(out, r)
		}
	}
	return out
}

func (w *world) forget() {
	w.events("")
	w.hook.mu.Lock()
	defer w.hook.mu.Unlock()
	w.hook.got = nil
}

// pull pushes a branch as alice and opens a pull request from it.
func (w *world) pull(branch string, files map[string]string) (*github.PullRequest, *worktree) {
	w.t.Helper()
	g := w.clone(w.alice, w.repo)
	g.branch(branch, files)
	pr, _, err := w.user(w.alice).PullRequests.Create(context.Background(), "acme", "shop",
		&github.NewPullRequest{Title: github.String("Change " + branch), Head: &branch, Base: github.String("main"), Body: github.String("Why.")})
	require.NoError(w.t, err)
	return pr, g
}

func str(id int64) string { return strconv.FormatInt(id, 10) }
