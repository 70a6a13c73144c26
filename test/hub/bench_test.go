package hub_test

import (
	"testing"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/test/hub"
)

// What the hub itself takes of a measured time from event to check.
func BenchmarkHub(b *testing.B) {
	w := newWorld(b, hub.Options{RateLimit: 1 << 40})
	pr, g := w.pull("f", map[string]string{"b": "1\n"})
	bot := w.bot()
	b.Run("create check run", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _, err := bot.Checks.CreateCheckRun(ctx, "acme", "shop", github.CreateCheckRunOptions{Name: "a", HeadSHA: pr.GetHead().GetSHA(),
				Status: github.String("completed"), Conclusion: github.String("success")})
			require.NoError(b, err)
		}
	})
	b.Run("get pull request", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _, err := bot.PullRequests.Get(ctx, "acme", "shop", 1)
			require.NoError(b, err)
		}
	})
	b.Run("push", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			g.git("commit", "--quiet", "--allow-empty", "-m", "More")
			g.git("push", "--quiet")
		}
	})
}
