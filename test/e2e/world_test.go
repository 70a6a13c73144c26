package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/ledger"
	"github.com/conductor-dev/conductor/test/contract"
	"github.com/conductor-dev/conductor/test/hub"
)

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "conductor-e2e-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "conductor")
	build := exec.Command("go", "build", "-o", binary, "../../cmd/conductor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// world is a forge with one organisation, one watched repository, and an audit
// repository, before any bot runs.
type world struct {
	t       testing.TB
	hub     *hub.Hub
	app     hub.App
	repo    hub.Repo
	audit   hub.Repo
	dana    client
	omar    client
	address string // of the bot
	secret  string // of the webhook
	config  string // path
	env     []string
}

// client is a person with a token.
type client struct {
	hub.User
	api *github.Client
}

const tenants = `apiVersion: conductor.dev/v1
kind: Tenant
metadata:
  name: payments
spec:
  displayName: Payments
---
apiVersion: conductor.dev/v1
kind: Tenant
metadata:
  name: dispatch
spec:
  displayName: Dispatch
`

// job is a Job of a tenant; "" leaves it untagged.
func job(name, tenant string) string {
	label, podLabel := "", ""
	if tenant != "" {
		label = "\n  labels:\n    conductor.dev/tenant-id: " + tenant
		podLabel = "\n    metadata:\n      labels:\n        conductor.dev/tenant-id: " + tenant
	}
	return "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: " + name + label + "\nspec:\n  template:" + podLabel + `
    spec:
      restartPolicy: Never
      containers:
        - name: ` + name + `
          image: registry.example.com/` + name + `:1
`
}

func newWorld(t testing.TB, change ...func(*hub.Options)) *world {
	t.Helper()
	options := hub.Options{Dir: t.TempDir(), Middleware: contract.New(t)}
	for _, c := range change {
		c(&options)
	}
	h, err := hub.Start(options)
	require.NoError(t, err)
	t.Cleanup(func() { _ = h.Close() })
	w := &world{t: t, hub: h}

	users := map[string]hub.User{}
	for _, login := range []string{"dana", "omar", "writer"} {
		users[login], err = h.CreateUser(login)
		require.NoError(t, err)
	}
	require.NoError(t, h.CreateOrg("acme", "dana", "omar", "writer"))
	w.repo, err = h.CreateRepo("acme/shop", hub.RepoOptions{Files: map[string]string{
		"README.md": "A shop.\n", "tenants.yaml": tenants, "jobs/first.yaml": job("first", "payments"),
	}})
	require.NoError(t, err)
	w.audit, err = h.CreateRepo("acme/audit", hub.RepoOptions{DenyRewrites: true})
	require.NoError(t, err)
	w.dana, w.omar = w.client(users["dana"]), w.client(users["omar"])

	w.address = freeAddress(t)
	w.secret = random(t)
	w.app, err = h.CreateApp(hub.AppOptions{
		Name: "Conductor", Slug: "conductor",
		Permissions:   map[string]string{"metadata": "read", "contents": "read", "pull_requests": "write", "checks": "write"},
		Events:        []string{"pull_request", "pull_request_review", "push", "check_run", "check_suite", "merge_group", "repository"},
		WebhookURL:    "http://" + w.address + "/webhook",
		WebhookSecret: w.secret,
	})
	require.NoError(t, err)
	w.configure(users["writer"])
	return w
}

func (w *world) client(u hub.User) client {
	api, err := github.NewClient(nil).WithAuthToken(u.Token).WithEnterpriseURLs(w.hub.URL(), w.hub.URL())
	require.NoError(w.t, err)
	return client{u, api}
}

// configure writes the bot's configuration and makes its ledger, as an operator
// would.
func (w *world) configure(writer hub.User) {
	dir := w.t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(w.t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	w.env = append(os.Environ(), "CONDUCTOR_LEDGER_PASSWORD="+random(w.t), "CONDUCTOR_LEDGER_TOKEN="+writer.Token)
	w.config = file("conductor.yaml", fmt.Sprintf(`listen: %s
stateDir: %s
sweepEvery: %s
github:
  url: %s
  appId: %d
  privateKeyFile: %s
  webhookSecretFiles: [%s]
ledger:
  remote: %s
  keysDir: %s
  pushInterval: 0s
log: {level: debug, format: text}
`, w.address, filepath.Join(dir, "state"), sweepEvery(w.t), w.hub.URL(), w.app.ID, file("app.pem", string(w.app.PrivateKeyPEM)),
		file("webhook.secret", w.secret), w.audit.CloneURL, filepath.Join(dir, "keys")))
	init := exec.Command(binary, "ledger", "init", w.audit.CloneURL, "--keys", filepath.Join(dir, "keys"))
	init.Env = w.env
	out, err := init.CombinedOutput()
	require.NoError(w.t, err, string(out))
}

// sweepEvery lets tests wait for little, and benchmarks measure events alone.
func sweepEvery(t testing.TB) time.Duration {
	if _, benchmark := t.(*testing.B); benchmark {
		return 5 * time.Minute
	}
	return time.Second
}

// sweepRarely leaves the bot alone with its events: a sweep between a push and its
// event makes the bot ask the forge which head is right.
func (w *world) sweepRarely() {
	w.t.Helper()
	config, err := os.ReadFile(w.config)
	require.NoError(w.t, err)
	require.Contains(w.t, string(config), "sweepEvery: 1s\n")
	require.NoError(w.t, os.WriteFile(w.config, bytes.Replace(config, []byte("sweepEvery: 1s\n"), []byte("sweepEvery: 5m\n"), 1), 0o600))
}

// bot is a running conductor serve.
type bot struct {
	world *world
	cmd   *exec.Cmd
	logs  *syncBuffer
	once  sync.Once
}

// start runs the bot and waits until it is ready. It is stopped when the test ends.
func (w *world) start() *bot {
	w.t.Helper()
	b := &bot{world: w, logs: &syncBuffer{}}
	b.cmd = exec.Command(binary, "serve", "--config", w.config)
	b.cmd.Env, b.cmd.Stderr, b.cmd.Stdout = w.env, b.logs, b.logs
	require.NoError(w.t, b.cmd.Start())
	w.t.Cleanup(func() {
		b.stop(syscall.SIGTERM)
		if w.t.Failed() {
			w.t.Logf("the bot's log:\n%s", b.logs.String())
		}
	})
	w.eventually("the bot to be ready", func() bool {
		answer, err := http.Get("http://" + w.address + "/readyz")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		_, _ = io.Copy(io.Discard, answer.Body)
		return answer.StatusCode == http.StatusOK
	})
	return b
}

// stop sends a signal and waits for the end.
func (b *bot) stop(signal syscall.Signal) {
	b.once.Do(func() {
		_ = b.cmd.Process.Signal(signal)
		_ = b.cmd.Wait()
	})
}

// install installs the App and waits until the bot watches the repository.
func (w *world) install() {
	w.t.Helper()
	_, err := w.hub.Install(w.app.ID, "acme", w.repo.FullName)
	require.NoError(w.t, err)
	w.eventually("the branch to be adopted", func() bool {
		return strings.Contains(w.git(w.audit.GitDir, "ls-tree", "-r", "--name-only", "main"), fmt.Sprintf("cursors/%d.json", w.repo.ID))
	})
}

const patience = 20 * time.Second

func (w *world) eventually(what string, done func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for !done() {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited %s in vain for %s", patience, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// remembered is the checkpoint that the bot keeps for its next start.
func (w *world) remembered() string {
	data, _ := os.ReadFile(filepath.Join(filepath.Dir(w.config), "state", "ledger.checkpoint"))
	return string(data)
}

// git runs git in a folder and returns what it prints.
func (w *world) git(dir string, args ...string) string {
	w.t.Helper()
	return git(w.t, dir, args...)
}

func git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Dana", "GIT_AUTHOR_EMAIL=dana@example.com", "GIT_COMMITTER_NAME=Dana", "GIT_COMMITTER_EMAIL=dana@example.com")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "git %s\n%s", strings.Join(args, " "), out)
	return strings.TrimSpace(string(out))
}

// clone gives a person a work tree that pushes over smart HTTP.
func (w *world) clone(c client) string {
	w.t.Helper()
	dir := filepath.Join(w.t.TempDir(), "clone")
	url := strings.Replace(w.repo.CloneURL, "http://", "http://"+c.Login+":"+c.Token+"@", 1)
	w.git(".", "clone", "-q", url, dir)
	w.git(dir, "config", "user.name", c.Login)
	w.git(dir, "config", "user.email", c.Email)
	return dir
}

// commit writes files and commits them; content "" deletes.
func (w *world) commit(dir, message string, files map[string]string) string {
	w.t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if content == "" {
			require.NoError(w.t, os.Remove(path))
			continue
		}
		require.NoError(w.t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(w.t, os.WriteFile(path, []byte(content), 0o644))
	}
	w.git(dir, "add", "-A")
	w.git(dir, "commit", "-q", "-m", message)
	return w.git(dir, "rev-parse", "HEAD")
}

// propose pushes a new branch with one commit of files and opens a pull request.
func (w *world) propose(branch string, files map[string]string) (*github.PullRequest, string) {
	w.t.Helper()
	dir := w.clone(w.dana)
	w.git(dir, "checkout", "-q", "-b", branch)
	head := w.commit(dir, "Work on "+branch, files)
	w.git(dir, "push", "-q", "origin", branch)
	return w.open(branch), head
}

func (w *world) open(branch string) *github.PullRequest {
	w.t.Helper()
	pull, _, err := w.dana.api.PullRequests.Create(context.Background(), w.repo.Owner, w.repo.Name, &github.NewPullRequest{
		Title: github.String("Work on " + branch), Head: github.String(branch), Base: github.String("main"),
	})
	require.NoError(w.t, err)
	return pull
}

// checks waits for both checks to be complete on a head, and returns the latest
// conclusion of each.
func (w *world) checks(head string) map[string]*github.CheckRun {
	w.t.Helper()
	var latest map[string]*github.CheckRun
	w.eventually("checks on "+head[:10], func() bool {
		list, _, err := w.dana.api.Checks.ListCheckRunsForRef(context.Background(), w.repo.Owner, w.repo.Name, head, nil)
		require.NoError(w.t, err)
		latest = map[string]*github.CheckRun{}
		for _, run := range list.CheckRuns {
			if run.GetStatus() == "completed" {
				latest[run.GetName()] = run
			}
		}
		return len(latest) == 2
	})
	return latest
}

func (w *world) annotations(run *github.CheckRun) []*github.CheckRunAnnotation {
	w.t.Helper()
	var all []*github.CheckRunAnnotation
	for page := 1; page != 0; {
		list, answer, err := w.dana.api.Checks.ListCheckRunAnnotations(context.Background(), w.repo.Owner, w.repo.Name, run.GetID(), &github.ListOptions{Page: page, PerPage: 100})
		require.NoError(w.t, err)
		all, page = append(all, list...), answer.NextPage
	}
	return all
}

func (w *world) comments(number int) []*github.IssueComment {
	w.t.Helper()
	list, _, err := w.dana.api.Issues.ListComments(context.Background(), w.repo.Owner, w.repo.Name, number, nil)
	require.NoError(w.t, err)
	return list
}

func (w *world) approve(number int) {
	w.t.Helper()
	_, _, err := w.omar.api.PullRequests.CreateReview(context.Background(), w.repo.Owner, w.repo.Name, number,
		&github.PullRequestReviewRequest{Event: github.String("APPROVE")})
	require.NoError(w.t, err)
}

func (w *world) merge(number int, method string) string {
	w.t.Helper()
	result, _, err := w.omar.api.PullRequests.Merge(context.Background(), w.repo.Owner, w.repo.Name, number, "", &github.PullRequestOptions{MergeMethod: method})
	require.NoError(w.t, err)
	return result.GetSHA()
}

// entries waits until the ledger holds n changes, and returns them oldest first.
func (w *world) entries(n int) []ledger.Change {
	w.t.Helper()
	var changes []ledger.Change
	w.eventually(fmt.Sprintf("%d entries", n), func() bool {
		list, err := ledger.Entries(context.Background(), w.audit.GitDir, ledger.Filter{})
		require.NoError(w.t, err)
		changes = changes[:0]
		for i := len(list) - 1; i >= 0; i-- {
			changes = append(changes, list[i].Change)
		}
		return len(changes) >= n
	})
	require.Len(w.t, changes, n)
	return changes
}

// verified holds the audit repository to its own verification and to git's.
func (w *world) verified() {
	w.t.Helper()
	out, err := exec.Command(binary, "ledger", "verify", w.audit.GitDir).CombinedOutput()
	require.NoError(w.t, err, string(out))
	w.git(w.audit.GitDir, "fsck", "--strict")
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func random(t testing.TB) string {
	t.Helper()
	b := make([]byte, 16)
	_, err := rand.Read(b)
	require.NoError(t, err)
	return hex.EncodeToString(b)
}

// syncBuffer is a bytes.Buffer that a process writes while a test reads.
type syncBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
