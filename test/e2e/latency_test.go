package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/test/hub"
)

// BenchmarkPullRequestEvent measures the time from a pull_request event's arrival
// at the bot to the answer to its last check run, on a repository of 500
// manifests: bot and hub are processes of their own on loopback. The metrics are
// percentiles in milliseconds.
func BenchmarkPullRequestEvent(b *testing.B) {
	var clock stopwatch
	w := newWorld(b, func(o *hub.Options) { o.Middleware = clock.checks })
	files := map[string]string{}
	for i := range 500 {
		name := fmt.Sprintf("job-%03d", i)
		files["jobs/"+name+".yaml"] = job(name, "payments")
	}
	dir := w.clone(w.dana)
	w.commit(dir, "Many jobs", files)
	w.git(dir, "push", "-q", "origin", "main")
	to, err := url.Parse("http://" + w.address)
	require.NoError(b, err)
	proxy := httptest.NewServer(clock.events(httputil.NewSingleHostReverseProxy(to)))
	defer proxy.Close()
	require.NoError(b, w.hub.SetWebhook(w.app.ID, proxy.URL+"/webhook", w.secret))
	w.start()
	w.install()
	w.git(dir, "checkout", "-q", "-b", "bench")
	head := w.commit(dir, "Start", map[string]string{"jobs/bench.yaml": job("bench", "payments")})
	w.git(dir, "push", "-q", "origin", "bench")
	w.open("bench")
	w.checks(head)
	w.settle()

	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		head := w.commit(dir, "Again", map[string]string{"jobs/bench.yaml": job("bench", "payments") + fmt.Sprintf("# %d\n", i)})
		clock.reset()
		w.git(dir, "push", "-q", "origin", "bench")
		w.checks(head)
		took = append(took, clock.elapsed())
	}
	slices.Sort(took)
	at := func(p float64) float64 {
		return float64(took[min(len(took)-1, int(p*float64(len(took))))].Microseconds()) / 1000
	}
	b.ReportMetric(at(0.50), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
}

// stopwatch starts at a pull request's event and stops at the last check run.
type stopwatch struct {
	mu          sync.Mutex // guards both
	start, stop time.Time
}

func (s *stopwatch) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.start, s.stop = time.Time{}, time.Time{}
}

func (s *stopwatch) elapsed() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stop.Sub(s.start)
}

func (s *stopwatch) events(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-GitHub-Event") == "pull_request" {
			s.mu.Lock()
			s.start = time.Now()
			s.mu.Unlock()
		}
		next.ServeHTTP(w, r)
	})
}

func (s *stopwatch) checks(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/check-runs") {
			s.mu.Lock()
			s.stop = time.Now()
			s.mu.Unlock()
		}
	})
}
