package ledger

import (
	"context"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// gitServer serves the repositories under root over smart HTTP with git's own
// backend. mute, while true, swallows the answer of each push.
type gitServer struct {
	*httptest.Server
	requests atomic.Int64
	bytes    atomic.Int64
	mute     atomic.Bool
}

func serveGit(t testing.TB, root string) *gitServer {
	t.Helper()
	execPath, err := exec.Command("git", "--exec-path").Output()
	require.NoError(t, err)
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(execPath)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=/dev/null"},
	}
	s := &gitServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != "x-access-token" || password != "secret" {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		s.requests.Add(1)
		r.Header.Del("Authorization")
		h := *backend
		h.Env = append(h.Env[:len(h.Env):len(h.Env)], "REMOTE_USER=bot")
		cw := &countingWriter{ResponseWriter: w, n: &s.bytes}
		if s.mute.Load() && strings.HasSuffix(r.URL.Path, "git-receive-pack") && r.Method == http.MethodPost {
			h.ServeHTTP(httptest.NewRecorder(), r)
			return
		}
		h.ServeHTTP(cw, r)
	}))
	t.Cleanup(s.Close)
	return s
}

type countingWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return c.ResponseWriter.Write(b)
}

var testAuth = &githttp.BasicAuth{Username: "x-access-token", Password: "secret"}

func httpOptions() Options {
	o := testOptions()
	o.Auth = testAuth
	return o
}

// newRemote makes an empty repository behind HTTP.
func newRemote(t testing.TB, filter bool) (*gitServer, string, string) {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "audit.git")
	run(t, "", "git", "init", "-q", "--bare", "-b", "main", dir)
	run(t, dir, "git", "config", "http.receivepack", "true")
	if filter {
		run(t, dir, "git", "config", "uploadpack.allowFilter", "true")
		run(t, dir, "git", "config", "uploadpack.allowAnySHA1InWant", "true")
	}
	s := serveGit(t, root)
	return s, s.URL + "/audit.git", dir
}

func TestRemote_InitAppendVerifyReadOverHTTP(t *testing.T) {
	for name, filter := range map[string]bool{"partial fetch": true, "full copy": false} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			_, url, dir := newRemote(t, filter)
			keys := testKeys(t, "audit.example.com")
			require.NoError(t, Init(ctx, url, keys, InitOptions{Auth: testAuth, Now: testOptions().Now}))
			require.NoError(t, Init(ctx, url, keys, InitOptions{Auth: testAuth}), "again")
			a, err := Open(ctx, url, keys, httpOptions())
			require.NoError(t, err)
			b, err := Open(ctx, url, keys, httpOptions())
			require.NoError(t, err)
			appendAll(t, a, drafts(0, 5)...)
			appendAll(t, b, drafts(3, 300)...) // has to catch up first
			_, err = a.Append(ctx, Batch{Drafts: []Draft{draft(7), draft(300)}, Cursors: []Cursor{testCursor(300)}})
			require.NoError(t, err)
			c, ok, err := b.Cursor(ctx, "1234567", "main")
			require.NoError(t, err)
			assert.True(t, ok)
			assert.Equal(t, testCursor(300), c)
			require.NoError(t, a.Close())
			require.NoError(t, b.Close())

			r := verify(t, url, VerifyOptions{Auth: testAuth})
			require.True(t, r.Verified, r.Problem())
			assert.EqualValues(t, 302, r.Entries)
			requireVerified(t, dir)
			list, err := Entries(ctx, url, Filter{Auth: testAuth, Limit: 1})
			require.NoError(t, err)
			assert.Equal(t, "CL-301", list[0].Name())
			e, err := Show(ctx, url, 2, testAuth)
			require.NoError(t, err)
			assert.Equal(t, draft(1).Change.Commit, e.Change.Commit)
		})
	}
}

func TestRemote_ColdStartReadsLittle(t *testing.T) {
	ctx := context.Background()
	s, url, _ := newRemote(t, true)
	keys := testKeys(t, "audit.example.com")
	require.NoError(t, Init(ctx, url, keys, InitOptions{Auth: testAuth}))
	l, err := Open(ctx, url, keys, httpOptions())
	require.NoError(t, err)
	appendAll(t, l, drafts(0, 700)...)
	require.NoError(t, l.Close())
	s.requests.Store(0)
	s.bytes.Store(0)
	l, err = Open(ctx, url, keys, httpOptions())
	require.NoError(t, err)
	t.Logf("cold start at 701 entries: %d requests, %d bytes", s.requests.Load(), s.bytes.Load())
	assert.LessOrEqual(t, s.bytes.Load(), int64(150<<10))
	s.requests.Store(0)
	appendAll(t, l, draft(700))
	t.Logf("first append: %d requests", s.requests.Load())
	s.requests.Store(0)
	appendAll(t, l, draft(701))
	t.Logf("second append: %d requests", s.requests.Load())
	require.NoError(t, l.Close())
}

func TestRemote_APushThatAnswersNothingIsLookedUp(t *testing.T) {
	ctx := context.Background()
	s, url, dir := newRemote(t, true)
	keys := testKeys(t, "audit.example.com")
	require.NoError(t, Init(ctx, url, keys, InitOptions{Auth: testAuth, Now: testOptions().Now}))
	l, err := Open(ctx, url, keys, httpOptions())
	require.NoError(t, err)
	s.mute.Store(true)
	got := appendAll(t, l, draft(0), draft(1))
	assert.False(t, got[0].Existing, "it landed: the receipt is that of a new entry")
	assert.Equal(t, strings.TrimSpace(run(t, dir, "git", "rev-parse", "main")), got[1].Commit)
	require.NoError(t, l.Close())
	assert.EqualValues(t, 3, requireVerified(t, dir).Entries)
}

func TestRemote_ThreeWritersRaceOverHTTP(t *testing.T) {
	ctx := context.Background()
	_, url, dir := newRemote(t, true)
	keys := testKeys(t, "audit.example.com")
	require.NoError(t, Init(ctx, url, keys, InitOptions{Auth: testAuth, Now: testOptions().Now}))
	var wg sync.WaitGroup
	for range 3 {
		l, err := Open(ctx, url, keys, httpOptions())
		require.NoError(t, err)
		wg.Go(func() {
			for i := range 5 {
				_, err := l.Append(ctx, Batch{Drafts: []Draft{draft(i)}})
				assert.NoError(t, err)
			}
			assert.NoError(t, l.Close())
		})
	}
	wg.Wait()
	assert.EqualValues(t, 6, requireVerified(t, dir).Entries)
}
