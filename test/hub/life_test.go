package hub_test

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/test/hub"
)

func TestStart_ListensOnLoopbackOnly(t *testing.T) {
	_, err := hub.Start(hub.Options{Addr: "0.0.0.0:0"})
	require.ErrorContains(t, err, "loopback")
	_, err = hub.Start(hub.Options{Addr: "nonsense"})
	require.Error(t, err)
}

func TestClose_LeavesNothingBehind(t *testing.T) {
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	dir := t.TempDir()
	before := runtime.NumGoroutine()
	h, err := hub.Start(hub.Options{Dir: dir})
	require.NoError(t, err)
	require.NoError(t, h.CreateOrg("acme"))
	_, err = h.CreateApp(hub.AppOptions{Name: "A", WebhookURL: "http://127.0.0.1:9/x"})
	require.NoError(t, err)
	h.Inject(hub.Fault{Kind: hub.Hang})
	got := make(chan error)
	client := &http.Client{Transport: &http.Transport{}}
	go func() {
		resp, err := client.Get(h.APIURL() + "/repos/acme/shop")
		if err == nil {
			resp.Body.Close()
		}
		got <- err
	}()
	require.Eventually(t, func() bool { return runtime.NumGoroutine() > before+3 }, 5*time.Second, time.Millisecond)
	time.Sleep(20 * time.Millisecond)
	require.NoError(t, h.Close())
	require.Error(t, <-got, "a hung request is let go")
	require.NoError(t, h.Close(), "twice does no harm")
	client.CloseIdleConnections()
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	assert.LessOrEqual(t, runtime.NumGoroutine(), before)
	left, err := filepath.Glob(filepath.Join(dir, "spool", "*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestPush_OfMegabytesAndManyRefsAtOnce(t *testing.T) {
	w := newWorld(t, hub.Options{})
	g := w.clone(w.alice, w.repo)
	big := make([]byte, 3<<20)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range big {
		big[i] = byte(r.Uint32())
	}
	require.NoError(t, os.WriteFile(filepath.Join(g.dir, "big"), big, 0o644))
	sha := g.commit("Big", nil)
	g.git("tag", "v1")
	g.git("push", "--quiet", "--atomic", "origin", "HEAD:main", "HEAD:one", "HEAD:two", "v1")
	pushes := w.events("push")
	var refs []string
	for _, e := range pushes {
		refs = append(refs, e.payload.(*github.PushEvent).GetRef())
	}
	assert.Equal(t, []string{"refs/heads/main", "refs/heads/one", "refs/heads/two", "refs/tags/v1"}, refs)
	again := w.clone(w.bob, w.repo)
	assert.Equal(t, sha, again.git("rev-parse", "origin/two"))
	got, err := os.ReadFile(filepath.Join(again.dir, "big"))
	require.NoError(t, err)
	assert.True(t, bytes.Equal(big, got))
	// A partial clone and a fetch of an exact commit, as a bot does them.
	dir := t.TempDir()
	bare := &worktree{t: t, dir: dir, user: w.bob}
	bare.git("init", "--quiet", "--bare", ".")
	bare.git("fetch", "--quiet", "--depth=1", "--filter=blob:none", w.repo.CloneURL, sha)
}

func TestPush_RewritesCanBeDenied(t *testing.T) {
	w := newWorld(t, hub.Options{})
	audit, err := w.h.CreateRepo("acme/audit", hub.RepoOptions{Files: map[string]string{"a": "b"}, DenyRewrites: true})
	require.NoError(t, err)
	g := w.clone(w.alice, audit)
	g.git("commit", "--quiet", "--amend", "-m", "Other")
	_, err = g.try("push", "--force", "origin", "main")
	require.Error(t, err)
	g.git("reset", "--quiet", "--hard", "origin/main")
	g.commit("Next", map[string]string{"c": "d"})
	g.git("push", "--quiet", "origin", "main")
}

func TestHub_ServesManyAtOnce(t *testing.T) {
	w := newWorld(t, hub.Options{})
	pr, _ := w.pull("f", map[string]string{"b": "1\n"})
	bot, alice := w.bot(), w.user(w.alice)
	var wg sync.WaitGroup
	for i := range 8 {
		g := w.clone(w.alice, w.repo)
		wg.Go(func() {
			_, _, err := bot.Checks.CreateCheckRun(ctx, "acme", "shop", github.CreateCheckRunOptions{Name: "a", HeadSHA: pr.GetHead().GetSHA()})
			assert.NoError(t, err)
			_, _, err = alice.Issues.CreateComment(ctx, "acme", "shop", 1, &github.IssueComment{Body: github.String("x")})
			assert.NoError(t, err)
			out, err := g.try("push", "--quiet", "origin", "HEAD:refs/heads/b"+str(int64(i)))
			assert.NoError(t, err, out)
			resp, err := http.Get(w.h.URL() + "/acme/shop/pull/1")
			if assert.NoError(t, err) {
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
	assert.Len(t, w.events("push"), 9)
	assert.Len(t, w.events("issue_comment"), 8)
}

func TestQueue_AsksForChecksAndMerges(t *testing.T) {
	w := newWorld(t, hub.Options{})
	w.pull("f", map[string]string{"b": "1\n"})
	sha, err := w.h.Queue("acme/shop", 1, "bob")
	require.NoError(t, err)
	asked := w.events("merge_group")
	require.Len(t, asked, 1)
	ev := asked[0].payload.(*github.MergeGroupEvent)
	assert.Equal(t, "checks_requested", ev.GetAction())
	assert.Equal(t, sha, ev.GetMergeGroup().GetHeadSHA())
	assert.True(t, strings.HasPrefix(ev.GetMergeGroup().GetHeadRef(), "refs/heads/gh-readonly-queue/main/pr-1-"))
	require.NoError(t, w.h.FinishQueue("acme/shop", sha, true))
	pr, _, err := w.bot().PullRequests.Get(ctx, "acme", "shop", 1)
	require.NoError(t, err)
	assert.True(t, pr.GetMerged())
	assert.Equal(t, sha, pr.GetMergeCommitSHA())
	assert.Equal(t, "destroyed", w.events("merge_group")[1].payload.(*github.MergeGroupEvent).GetAction())
}
