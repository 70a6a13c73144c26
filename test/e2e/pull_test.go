package e2e

import (
	"bytes"
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer/html"

	"github.com/conductor-dev/conductor/test/hub"
)

func TestPullRequest_FailsThenPassesWithOneComment(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.install()

	pull, head := w.propose("report", map[string]string{"jobs/report.yaml": job("report", "")})
	checks := w.checks(head)
	assert.Equal(t, "failure", checks["conductor/tenants"].GetConclusion())
	notes := w.annotations(checks["conductor/tenants"])
	require.Len(t, notes, 1)
	assert.Equal(t, "jobs/report.yaml", notes[0].GetPath())
	assert.Equal(t, 3, notes[0].GetStartLine(), "the metadata that lacks the label")
	w.eventually("a comment", func() bool { return len(w.comments(pull.GetNumber())) == 1 })
	first := w.comments(pull.GetNumber())[0]
	assert.Contains(t, first.GetBody(), "tenant/missing")

	dir := w.clone(w.dana)
	w.git(dir, "checkout", "-q", "report")
	head = w.commit(dir, "Tag the report", map[string]string{"jobs/report.yaml": job("report", "payments")})
	w.git(dir, "push", "-q", "origin", "report")
	assert.Equal(t, "success", w.checks(head)["conductor/tenants"].GetConclusion())
	w.eventually("the comment to follow", func() bool {
		list := w.comments(pull.GetNumber())
		return len(list) == 1 && list[0].GetID() == first.GetID() && !strings.Contains(list[0].GetBody(), "tenant/missing")
	})
}

func TestPullRequest_FindingsOutsideTheDiffDontFailIt(t *testing.T) {
	w := newWorld(t)
	dir := w.clone(w.dana)
	w.commit(dir, "Leave an old job untagged", map[string]string{"jobs/old.yaml": job("old", "")})
	w.git(dir, "push", "-q", "origin", "main")
	w.start()
	w.install()
	_, head := w.propose("good", map[string]string{"jobs/new.yaml": job("new", "payments")})
	assert.Equal(t, "success", w.checks(head)["conductor/tenants"].GetConclusion())
}

func TestPullRequest_IsJudgedByItsBaseNotByItsOwnTenants(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.install()
	_, head := w.propose("sneaky", map[string]string{
		"tenants.yaml":    tenants + "---\napiVersion: conductor.dev/v1\nkind: Tenant\nmetadata:\n  name: mine\nspec:\n  displayName: Mine\n",
		".conductor.yaml": "enforcement:\n  tenant/unknown: \"off\"\n  tenant/missing: \"off\"\n",
		"jobs/mine.yaml":  job("mine", "mine"),
		"jobs/none.yaml":  job("none", ""),
	})
	tenants := w.checks(head)["conductor/tenants"]
	assert.Equal(t, "failure", tenants.GetConclusion())
	var failures []string
	for _, a := range w.annotations(tenants) {
		if a.GetAnnotationLevel() == "failure" {
			failures = append(failures, a.GetPath())
		}
	}
	assert.ElementsMatch(t, []string{"jobs/mine.yaml", "jobs/none.yaml"}, failures)
}

func TestPullRequest_OfMoreThan50FindingsAnnotatesThemAll(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.install()
	files := map[string]string{}
	for i := range 120 {
		name := "job-" + string(rune('a'+i/26)) + string(rune('a'+i%26))
		files["jobs/"+name+".yaml"] = job(name, "")
	}
	_, head := w.propose("many", files)
	run := w.checks(head)["conductor/tenants"]
	w.eventually("all annotations", func() bool { return len(w.annotations(run)) == 120 })
}

func TestPullRequest_EventsComeTwiceLateAndInDisorder(t *testing.T) {
	w := newWorld(t)
	w.hub.Inject(
		hub.Fault{Kind: hub.Doubled, Event: anyEvent, Probability: 0.4},
		hub.Fault{Kind: hub.Reordered, Event: anyEvent, Probability: 0.4},
	)
	w.start()
	w.install()
	pull, head := w.propose("busy", map[string]string{"jobs/busy.yaml": job("busy", "")})
	dir := w.clone(w.dana)
	w.git(dir, "checkout", "-q", "busy")
	for i := range 5 {
		head = w.commit(dir, "Again", map[string]string{"jobs/busy.yaml": job("busy", "payments") + strings.Repeat("# again\n", i+1)})
		w.git(dir, "push", "-q", "origin", "busy")
	}
	assert.Equal(t, "success", w.checks(head)["conductor/tenants"].GetConclusion())
	w.eventually("the comment of the last head", func() bool {
		list := w.comments(pull.GetNumber())
		return len(list) == 1 && strings.Contains(list[0].GetBody(), head[:7])
	})
}

func TestPullRequest_SurvivesAForgeInTrouble(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.install()
	w.hub.Inject(
		hub.Fault{Kind: hub.StatusFault, Method: "POST", Path: regexp.MustCompile("/check-runs$"), Status: 502, Count: 1},
		hub.Fault{Kind: hub.LostResponse, Method: "POST", Path: regexp.MustCompile("/check-runs$"), Count: 1},
		hub.Fault{Kind: hub.LostResponse, Method: "POST", Path: regexp.MustCompile("/comments$"), Count: 1},
	)
	pull, head := w.propose("trouble", map[string]string{"jobs/t.yaml": job("trouble", "")})
	assert.Equal(t, "failure", w.checks(head)["conductor/tenants"].GetConclusion())
	w.eventually("the comment", func() bool { return len(w.comments(pull.GetNumber())) > 0 })
	time.Sleep(300 * time.Millisecond) // a second comment would come with the retry
	assert.Len(t, w.comments(pull.GetNumber()), 1, "a lost answer must not double the comment")
}

func TestPullRequest_RerunGivesANewRun(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.install()
	_, head := w.propose("again", map[string]string{"jobs/a.yaml": job("a", "")})
	run := w.checks(head)["conductor/tenants"]
	answer, err := w.dana.api.Checks.ReRequestCheckRun(context.Background(), w.repo.Owner, w.repo.Name, run.GetID())
	require.NoError(t, err)
	require.Equal(t, 201, answer.StatusCode)
	w.eventually("a fresh run", func() bool { return w.checks(head)["conductor/tenants"].GetID() != run.GetID() })
}

// The hostile pull requests of the issue: each gets a finding, nothing hangs, and
// the next pull request is judged as ever.
func TestPullRequest_HostileInputGetsFindings(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.install()
	dir := w.clone(w.dana)
	w.git(dir, "checkout", "-q", "-b", "hostile")
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'j'; c++ {
		bomb += string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 9), ",") + "]\n"
	}
	files := map[string]string{
		"bomb.yaml":      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\n" + bomb,
		"deep.yaml":      "apiVersion: v1\nkind: ConfigMap\ndata: " + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "\n",
		"twice.yaml":     "apiVersion: v1\nkind: ConfigMap\nkind: Secret\n",
		"latin1.yaml":    "apiVersion: v1\nkind: ConfigMap\ndata: {a: \"\xff\xfe\"}\n",
		"large.yaml":     "# " + strings.Repeat("x", 10<<20) + "\n",
		"markdown.yaml":  strings.Replace(job("x", ""), "name: x\n", "name: \"<img src=x> @dana [a](http://b) | `c` ![](d)\"\n", 1),
		"emoji-🚀 a.yaml": job("rocket", ""),
	}
	w.commit(dir, "Be hostile", files)
	require.NoError(t, symlink("/etc/passwd", dir+"/link.yaml"))
	head := w.commit(dir, "Link out", nil)
	w.git(dir, "push", "-q", "origin", "hostile")
	pull := w.open("hostile")

	run := w.checks(head)["conductor/tenants"]
	assert.Equal(t, "failure", run.GetConclusion())
	found := map[string]string{}
	for _, a := range w.annotations(run) {
		found[a.GetPath()] += a.GetTitle() + " "
	}
	for path, rule := range map[string]string{
		"deep.yaml": "yaml/too-deep", "twice.yaml": "yaml/duplicate-key", "latin1.yaml": "yaml/syntax",
		"large.yaml": "file/too-large", "link.yaml": "file/symlink", "markdown.yaml": "tenant/missing", "emoji-🚀 a.yaml": "tenant/missing",
	} {
		assert.Contains(t, found[path], rule, path)
	}
	w.eventually("the comment", func() bool { return len(w.comments(pull.GetNumber())) == 1 })
	body := w.comments(pull.GetNumber())[0].GetBody()
	var page bytes.Buffer
	markdown := goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(html.WithUnsafe()))
	require.NoError(t, markdown.Convert([]byte(body), &page))
	assert.NotContains(t, page.String(), "<img")
	assert.NotContains(t, page.String(), `href="http://b"`)
	assert.NotContains(t, page.String(), "root:")

	_, head = w.propose("after", map[string]string{"jobs/after.yaml": job("after", "payments")})
	assert.Equal(t, "success", w.checks(head)["conductor/tenants"].GetConclusion())
}

func TestPullRequest_NeedsAtMostThreeRESTCalls(t *testing.T) {
	w := newWorld(t)
	w.sweepRarely()
	w.start()
	w.install()
	_, head := w.propose("steady", map[string]string{"jobs/s.yaml": job("steady", "")})
	w.checks(head)
	w.settle()
	dir := w.clone(w.dana)
	w.git(dir, "checkout", "-q", "steady")
	for range 3 {
		head = w.commit(dir, "Once more", map[string]string{"jobs/s.yaml": job("steady", "") + "# " + random(t) + "\n"})
		w.hub.ResetRequests()
		w.git(dir, "push", "-q", "origin", "steady")
		w.settleOn(head)
		calls := w.botCalls()
		assert.LessOrEqual(t, len(calls), 3, "%v", calls)
		assert.NotEmpty(t, calls)
	}
}

// anyEvent matches every webhook.
var anyEvent = regexp.MustCompile("")

// A merge makes the pull request's change part of its base. Whatever event comes
// first, the verdict that stands must stay the one on the change.
func TestPullRequest_MergedKeepsItsVerdict(t *testing.T) {
	for _, method := range []string{"merge", "squash", "rebase"} {
		t.Run(method, func(t *testing.T) {
			w := newWorld(t)
			w.start()
			w.install()
			pull, head := w.propose("red", map[string]string{"jobs/red.yaml": job("red", "")})
			run := w.checks(head)["conductor/tenants"]
			w.eventually("the comment", func() bool { return len(w.comments(pull.GetNumber())) == 1 })
			w.settle()
			before := w.comments(pull.GetNumber())[0].GetBody()
			w.hub.Inject(hub.Fault{Kind: hub.Lost, Event: regexp.MustCompile(`^pull_request\.closed`)})
			w.approve(pull.GetNumber())
			w.merge(pull.GetNumber(), method)
			w.entries(1)
			w.approve(pull.GetNumber()) // an event after the merge, of a pull request that the bot believes open
			w.settle()
			assert.Equal(t, before, w.comments(pull.GetNumber())[0].GetBody())
			latest := w.checks(head)["conductor/tenants"]
			assert.Equal(t, run.GetID(), latest.GetID())
			assert.Equal(t, "failure", latest.GetConclusion())
		})
	}
}

// A pull request from a fork is judged like any other: its head is fetched from the
// base repository, and events name no pull request for it.
func TestPullRequest_FromAFork(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.install()
	user, err := w.hub.CreateUser("eve")
	require.NoError(t, err)
	eve := w.client(user)
	fork, _, err := eve.api.Repositories.CreateFork(context.Background(), w.repo.Owner, w.repo.Name, nil)
	var accepted *github.AcceptedError
	if err != nil {
		require.ErrorAs(t, err, &accepted)
	}
	w.eventually("the fork", func() bool { _, there := w.hub.Repo("eve/shop"); return there })
	copied, _ := w.hub.Repo("eve/shop")
	assert.NotEqual(t, w.repo.ID, copied.ID, fork)

	dir := filepath.Join(t.TempDir(), "fork")
	w.git(".", "clone", "-q", strings.Replace(copied.CloneURL, "http://", "http://eve:"+eve.Token+"@", 1), dir)
	w.git(dir, "checkout", "-q", "-b", "evil")
	head := w.commit(dir, "From outside", map[string]string{"jobs/fork.yaml": job("fork", "")})
	w.git(dir, "push", "-q", "origin", "evil")
	pull, _, err := eve.api.PullRequests.Create(context.Background(), w.repo.Owner, w.repo.Name, &github.NewPullRequest{
		Title: github.String("From outside"), Head: github.String("eve:evil"), Base: github.String("main"),
	})
	require.NoError(t, err)
	run := w.checks(head)["conductor/tenants"]
	assert.Equal(t, "failure", run.GetConclusion())
	w.eventually("the comment", func() bool { return len(w.comments(pull.GetNumber())) == 1 })

	_, err = w.dana.api.Checks.ReRequestCheckRun(context.Background(), w.repo.Owner, w.repo.Name, run.GetID())
	require.NoError(t, err)
	w.eventually("a fresh run", func() bool { return w.checks(head)["conductor/tenants"].GetID() != run.GetID() })
}
