package hub_test

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/test/hub"
)

func TestFault_OfRESTRequests(t *testing.T) {
	w := newWorld(t, hub.Options{})
	w.pull("f", map[string]string{"b": "1\n"})
	comments := regexp.MustCompile(`/comments$`)
	say := func(c context.Context) (*github.Response, error) {
		_, resp, err := w.user(w.alice).Issues.CreateComment(c, "acme", "shop", 1, &github.IssueComment{Body: github.String("x")})
		return resp, err
	}
	count := func() int {
		all, _, err := w.user(w.alice).Issues.ListComments(ctx, "acme", "shop", 1, nil)
		require.NoError(t, err)
		return len(all)
	}
	post := func(f hub.Fault) {
		f.Method, f.Path, f.Count = "POST", comments, 1
		w.h.ClearFaults()
		w.h.Inject(f)
	}
	post(hub.Fault{Kind: hub.StatusFault, Status: 503})
	resp, err := say(ctx)
	require.Error(t, err)
	assert.Equal(t, 503, resp.StatusCode)
	assert.Equal(t, 0, count(), "no effect")

	post(hub.Fault{Kind: hub.SecondaryLimit, RetryAfter: 7 * time.Second})
	_, err = say(ctx)
	var abuse *github.AbuseRateLimitError
	require.ErrorAs(t, err, &abuse)
	assert.Equal(t, 7*time.Second, abuse.GetRetryAfter())

	post(hub.Fault{Kind: hub.SecondaryLimit, Status: 429})
	resp, err = say(ctx)
	require.Error(t, err)
	assert.Equal(t, 429, resp.StatusCode)

	post(hub.Fault{Kind: hub.PrimaryLimit, Delay: time.Minute})
	_, err = say(ctx)
	var limit *github.RateLimitError
	require.ErrorAs(t, err, &limit)
	assert.WithinDuration(t, time.Now().Add(time.Minute), limit.Rate.Reset.Time, 5*time.Second)

	post(hub.Fault{Kind: hub.Reset})
	_, err = say(ctx)
	require.Error(t, err)
	assert.Equal(t, 0, count())

	post(hub.Fault{Kind: hub.LostResponse})
	_, err = say(ctx)
	require.Error(t, err)
	assert.Equal(t, 1, count(), "the effect took place")

	post(hub.Fault{Kind: hub.Hang})
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = say(short)
	require.True(t, errors.Is(err, context.DeadlineExceeded), "%v", err)

	post(hub.Fault{Kind: hub.StatusFault, Skip: 1})
	_, err = say(ctx)
	require.NoError(t, err)
	_, err = say(ctx)
	require.Error(t, err)
	_, err = say(ctx)
	require.NoError(t, err)
}

func TestFault_ProbabilityRepeatsWithItsSeed(t *testing.T) {
	pattern := func() string {
		w := newWorld(t, hub.Options{Seed: 7})
		w.h.Inject(hub.Fault{Kind: hub.StatusFault, Probability: 0.5})
		var out []byte
		for range 30 {
			resp, err := http.Get(w.h.APIURL() + "/repos/acme/shop")
			require.NoError(t, err)
			resp.Body.Close()
			out = append(out, "ox"[resp.StatusCode/502])
		}
		return string(out)
	}
	first := pattern()
	assert.Equal(t, first, pattern())
	assert.Contains(t, first, "o")
	assert.Contains(t, first, "x")
}

func TestFault_OfGit(t *testing.T) {
	w := newWorld(t, hub.Options{})
	g := w.clone(w.alice, w.repo)
	sha := g.commit("One", map[string]string{"b": "1\n"})
	w.h.Inject(hub.Fault{Kind: hub.StatusFault, Git: true, Count: 1})
	_, err := g.try("push", "origin", "HEAD:f")
	require.Error(t, err)
	w.h.ClearFaults()
	w.h.Inject(hub.Fault{Kind: hub.LostResponse, Git: true, Method: "POST", Path: regexp.MustCompile("git-receive-pack$"), Count: 1})
	_, err = g.try("push", "origin", "HEAD:f")
	require.Error(t, err)
	assert.Contains(t, g.git("ls-remote", "origin", "refs/heads/f"), sha, "the push took place")
	require.Len(t, w.events("push"), 1)
}

func TestRequests_CountsWhatTheBotAsks(t *testing.T) {
	w := newWorld(t, hub.Options{})
	w.pull("f", map[string]string{"b": "1\n"})
	w.h.ResetRequests()
	bot := w.bot()
	_, _, err := bot.PullRequests.Get(ctx, "acme", "shop", 1)
	require.NoError(t, err)
	_, _, err = bot.PullRequests.ListReviews(ctx, "acme", "shop", 1, nil)
	require.NoError(t, err)
	all := w.h.Requests()
	require.Len(t, all, 3)
	assert.True(t, all[0].IsTokenMint())
	calls := w.h.BotCalls()
	require.Len(t, calls, 2)
	assert.Equal(t, "/repos/{owner}/{repo}/pulls/{pull_number}", calls[0].Route)
	assert.Equal(t, "/repos/acme/shop/pulls/1/reviews", calls[1].Path)
	assert.Equal(t, 200, calls[1].Status)
}
