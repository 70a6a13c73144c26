package hub_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/test/hub"
)

func (w *world) comment(body string) {
	w.t.Helper()
	_, _, err := w.user(w.alice).Issues.CreateComment(ctx, "acme", "shop", 1, &github.IssueComment{Body: &body})
	require.NoError(w.t, err)
}

func (w *world) comments() []string {
	var out []string
	for _, e := range w.events("issue_comment") {
		out = append(out, e.payload.(*github.IssueCommentEvent).GetComment().GetBody())
	}
	return out
}

func TestWebhook_HasGitHubsHeaders(t *testing.T) {
	w := newWorld(t, hub.Options{})
	pings := w.events("ping")
	require.Len(t, pings, 1)
	hd := pings[0].header
	assert.Equal(t, "application/json", hd.Get("Content-Type"))
	assert.Regexp(t, `^GitHub-Hookshot/`, hd.Get("User-Agent"))
	assert.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$`, hd.Get("X-GitHub-Delivery"))
	assert.Equal(t, str(w.app.ID), hd.Get("X-GitHub-Hook-Installation-Target-ID"))
	assert.Equal(t, "integration", hd.Get("X-GitHub-Hook-Installation-Target-Type"))
	assert.NotEmpty(t, hd.Get("X-GitHub-Hook-ID"))
	in := w.events("installation")[0].payload.(*github.InstallationEvent)
	assert.Equal(t, "created", in.GetAction())
	require.Len(t, in.Repositories, 1)

	other, err := w.h.CreateRepo("acme/other", hub.RepoOptions{})
	require.NoError(t, err)
	require.NoError(t, w.h.AddToInstallation(w.install, other.FullName))
	require.NoError(t, w.h.RemoveFromInstallation(w.install, other.FullName))
	repos := w.events("installation_repositories")
	require.Len(t, repos, 2)
	assert.Equal(t, "other", repos[0].payload.(*github.InstallationRepositoriesEvent).RepositoriesAdded[0].GetName())
}

func TestWebhook_IsNotRetriedButCanBeRedeliveredUnderItsGUID(t *testing.T) {
	w := newWorld(t, hub.Options{})
	w.pull("f", map[string]string{"b": "1\n"})
	w.forget()
	w.hook.mu.Lock()
	w.hook.code = 500
	w.hook.mu.Unlock()
	w.comment("one")
	require.Len(t, w.comments(), 1, "no automatic retry")
	app := w.jwt()
	list, _, err := app.Apps.ListHookDeliveries(ctx, &github.ListCursorOptions{PerPage: 1})
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Equal(t, 500, list[0].GetStatusCode())
	assert.Equal(t, "issue_comment", list[0].GetEvent())
	_, _, err = app.Apps.RedeliverHookDelivery(ctx, list[0].GetID())
	if err != nil { // GitHub answers 202, which go-github reports as an error
		require.ErrorContains(t, err, "job scheduled")
	}
	got := w.events("issue_comment")
	require.Len(t, got, 2)
	assert.Equal(t, got[0].guid, got[1].guid)
	again, resp, err := app.Apps.ListHookDeliveries(ctx, &github.ListCursorOptions{PerPage: 1})
	require.NoError(t, err)
	assert.True(t, again[0].GetRedelivery())
	assert.NotEqual(t, list[0].GetID(), again[0].GetID())
	full, _, err := app.Apps.GetHookDelivery(ctx, again[0].GetID())
	require.NoError(t, err)
	assert.Equal(t, "issue_comment", full.Request.Headers["X-Github-Event"])
	assert.NotEmpty(t, full.Request.GetRawPayload())
	next, _, err := app.Apps.ListHookDeliveries(ctx, &github.ListCursorOptions{PerPage: 1, Cursor: resp.Cursor})
	require.NoError(t, err)
	assert.Equal(t, list[0].GetID(), next[0].GetID())
}

func TestWebhook_TimesOut(t *testing.T) {
	w := newWorld(t, hub.Options{WebhookTimeout: 100 * time.Millisecond})
	w.pull("f", map[string]string{"b": "1\n"})
	w.forget()
	wait := make(chan struct{})
	w.hook.mu.Lock()
	w.hook.wait = wait
	w.hook.mu.Unlock()
	w.comment("slow")
	require.NoError(t, w.h.WaitWebhooks(ctx))
	close(wait)
	last := w.h.Deliveries(w.app.ID)
	assert.Zero(t, last[len(last)-1].StatusCode)
}

func TestWebhook_FaultsLoseDoubleDelayAndReorder(t *testing.T) {
	w := newWorld(t, hub.Options{})
	w.pull("f", map[string]string{"b": "1\n"})
	event := regexp.MustCompile(`^issue_comment\.created$`)
	for kind, want := range map[hub.FaultKind][]string{
		hub.Lost: {"two", "three"}, hub.Doubled: {"one", "one", "two", "three"},
		hub.Reordered: {"two", "one", "three"}, hub.Delay: {"one", "two", "three"},
	} {
		t.Run(string(kind), func(t *testing.T) {
			w.forget()
			w.h.ClearFaults()
			w.h.Inject(hub.Fault{Kind: kind, Event: event, Count: 1, Delay: 10 * time.Millisecond})
			for _, body := range []string{"one", "two", "three"} {
				w.comment(body)
			}
			assert.Equal(t, want, w.comments())
		})
	}
}

func TestWebhook_GoesOnlyWhereSubscribedAndInstalled(t *testing.T) {
	w := newWorld(t, hub.Options{})
	other := newReceiver(t)
	app, err := w.h.CreateApp(hub.AppOptions{Name: "Other", Events: []string{"pull_request"}, WebhookURL: other.URL, WebhookSecret: hookSecret})
	require.NoError(t, err)
	_, err = w.h.Install(app.ID, "acme")
	require.NoError(t, err)
	w.pull("f", map[string]string{"b": "1\n"})
	w.comment("hi")
	w.events("")
	other.mu.Lock()
	defer other.mu.Unlock()
	var names []string
	for _, r := range other.got {
		names = append(names, r.event)
	}
	assert.Equal(t, []string{"ping", "installation", "pull_request"}, names)
	_, err = w.h.CreateApp(hub.AppOptions{Name: "Far", WebhookURL: "http://192.0.2.1/hook"})
	require.ErrorContains(t, err, "loopback")
}
