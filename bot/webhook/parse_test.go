package webhook_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/conductor-dev/conductor/bot/webhook"
	"github.com/conductor-dev/conductor/ledger"
	"github.com/conductor-dev/conductor/reconcile"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// example is one of GitHub's own payloads.
type example struct {
	event, action string
	payload       json.RawMessage
}

func examples(t testing.TB) (all []example) {
	t.Helper()
	files, err := filepath.Glob("testdata/examples/*.json") // sorted
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var payloads []json.RawMessage
		require.NoError(t, json.Unmarshal(text, &payloads))
		for _, p := range payloads {
			var with struct{ Action string }
			require.NoError(t, json.Unmarshal(p, &with))
			all = append(all, example{strings.TrimSuffix(filepath.Base(file), ".json"), with.Action, p})
		}
	}
	require.NotEmpty(t, all)
	return all
}

// The golden file says, for each of GitHub's examples, what it is answered and what
// becomes of it.
func TestExamples_AllAreTaken(t *testing.T) {
	h, in := newHandler(t, webhook.Options{})
	var got strings.Builder
	for _, e := range examples(t) {
		before := len(in.events)
		code, body := serve(h, request(e.event, e.payload))
		assert.Less(t, code, 300, "%s %s: %s", e.event, e.action, body)
		fmt.Fprintf(&got, "%s %s: %d", e.event, e.action, code)
		if len(in.events) == before {
			var a struct{ Status, Reason string }
			require.NoError(t, json.Unmarshal([]byte(body), &a))
			fmt.Fprintf(&got, " %s %s\n", a.Status, a.Reason)
			continue
		}
		ev := in.events[before]
		for _, key := range ev.Keys {
			fmt.Fprintf(&got, " %s", key)
		}
		for _, h := range ev.Heads {
			fmt.Fprintf(&got, " head/%s/%s", h.Repo, h.SHA)
		}
		got.WriteString("\n")
		for _, r := range ev.Repos {
			fmt.Fprintf(&got, "\t%+v\n", r)
		}
		for _, p := range ev.Pulls {
			fmt.Fprintf(&got, "\t%d %q by %s, %s draft=%t merged=%t, %s <- %s of %s, updated %s\n", p.Pull.Number, p.Pull.Title, p.Pull.Author.Login,
				p.Pull.State, p.Pull.Draft, p.Pull.Merged, p.Pull.BaseRef, p.Pull.HeadSHA.Short(), p.Pull.HeadRepoID, p.Pull.UpdatedAt.Format(time.RFC3339))
		}
	}
	const golden = "testdata/examples.golden"
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), got.String())
}

// Where go-github can read a payload, we read the same facts.
func TestExamples_FactsAgreeWithGoGitHub(t *testing.T) {
	compared := 0
	for _, e := range examples(t) {
		if e.event != "pull_request" {
			continue
		}
		ours, err := webhook.Parse(e.event, guid, e.payload)
		if errors.Is(err, webhook.ErrIgnored) {
			continue
		}
		require.NoError(t, err)
		theirs, err := github.ParseWebHook(e.event, e.payload)
		require.NoError(t, err)
		p, ev := theirs.(*github.PullRequestEvent).PullRequest, theirs.(*github.PullRequestEvent)
		require.Len(t, ours.Pulls, 1)
		want := reconcile.PullRequest{
			Number: p.GetNumber(), Title: p.GetTitle(), HTMLURL: p.GetHTMLURL(), State: p.GetState(), Draft: p.GetDraft(), Merged: p.GetMerged(),
			Author:  ledger.Person{Login: p.GetUser().GetLogin(), ID: p.GetUser().GetID()},
			BaseRef: p.GetBase().GetRef(), HeadSHA: reconcile.CommitSHA(p.GetHead().GetSHA()),
			HeadRepoID: reconcile.RepoID(fmt.Sprint(p.GetHead().GetRepo().GetID())), Commits: p.GetCommits(), UpdatedAt: p.GetUpdatedAt().UTC(),
		}
		assert.Equal(t, want, ours.Pulls[0].Pull)
		assert.Equal(t, ev.GetRepo().GetFullName(), ours.Repos[0].FullName())
		assert.Equal(t, ev.GetInstallation().GetID(), ours.Repos[0].Installation)
		compared++
	}
	assert.Greater(t, compared, 10)
}

// merged is a closed pull request that was merged by squashing.
func mergedPayload(t *testing.T, change func(map[string]any)) []byte {
	t.Helper()
	p := map[string]any{
		"action":       "closed",
		"installation": map[string]any{"id": 3},
		"repository": map[string]any{
			"id": 1, "full_name": "octo/infra", "default_branch": "main", "clone_url": "https://github.com/octo/infra.git",
			"html_url": "https://github.com/octo/infra", "custom_properties": map[string]any{"team": []string{"a", "b"}},
		},
		"pull_request": map[string]any{
			"number": 7, "title": "Grow \u2728", "state": "closed", "merged": true, "updated_at": "2026-11-23T10:00:00Z", "merged_at": "2026-11-23T11:00:00+01:00",
			"merge_commit_sha": strings.Repeat("b", 40), "merged_by": map[string]any{"login": "hubot", "id": 9}, "user": map[string]any{"login": "mona", "id": 8},
			"head": map[string]any{"ref": "grow", "sha": strings.Repeat("a", 40), "repo": nil}, "base": map[string]any{"ref": "main", "sha": strings.Repeat("c", 40)}, "commits": 2,
		},
	}
	if change != nil {
		change(p)
	}
	b, err := json.Marshal(p)
	require.NoError(t, err)
	return b
}

func TestParse_MergeIntoTheDefaultBranch(t *testing.T) {
	body := mergedPayload(t, nil)
	e, err := webhook.Parse("pull_request", guid, body)
	require.NoError(t, err)
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	assert.Equal(t, reconcile.Event{
		Delivery: guid, Name: "pull_request", Action: "closed",
		Repos: []reconcile.Repo{{
			ID: "1", Installation: 3, Owner: "octo", Name: "infra", DefaultBranch: "main",
			CloneURL: "https://github.com/octo/infra.git", HTMLURL: "https://github.com/octo/infra",
		}},
		Pulls: []reconcile.PullFact{{Repo: "1", Pull: reconcile.PullRequest{
			Number: 7, Title: "Grow \u2728", Author: ledger.Person{Login: "mona", ID: 8}, State: "closed", Merged: true, BaseRef: "main",
			HeadSHA: reconcile.CommitSHA(strings.Repeat("a", 40)), MergeSHA: reconcile.CommitSHA(strings.Repeat("b", 40)),
			Merger: &ledger.Person{Login: "hubot", ID: 9}, MergedAt: at, Commits: 2, UpdatedAt: at,
		}}},
		Keys: []reconcile.Key{reconcile.PullKey("1", 7), reconcile.BranchKey("1", "main")},
	}, e)
	_, err = github.ParseWebHook("pull_request", body)
	assert.Error(t, err, "a custom property with several values is why payloads aren't read through go-github")
}

func TestParse_MergeIntoAnotherBranchHasNoBranchKey(t *testing.T) {
	e, err := webhook.Parse("pull_request", guid, mergedPayload(t, func(p map[string]any) {
		p["pull_request"].(map[string]any)["base"] = map[string]any{"ref": "release"}
	}))
	require.NoError(t, err)
	assert.Equal(t, []reconcile.Key{reconcile.PullKey("1", 7)}, e.Keys)
}

// What is odd of a pull request is for the forge to tell; the key is kept.
func TestParse_OddFactsAreLeftOutAndTheKeyStays(t *testing.T) {
	for name, change := range map[string]func(pull map[string]any){
		"time":     func(p map[string]any) { p["updated_at"] = "2018-04-25 20:42:10" },
		"head":     func(p map[string]any) { p["head"] = map[string]any{"sha": "--upload-pack=evil"} },
		"base":     func(p map[string]any) { p["base"] = map[string]any{"ref": "../../etc"} },
		"flag":     func(p map[string]any) { p["base"] = map[string]any{"ref": "-oops"} },
		"state":    func(p map[string]any) { p["state"] = "melted" },
		"merge":    func(p map[string]any) { p["merge_commit_sha"] = nil },
		"mergedAt": func(p map[string]any) { p["merged_at"] = nil },
	} {
		e, err := webhook.Parse("pull_request", guid, mergedPayload(t, func(p map[string]any) { change(p["pull_request"].(map[string]any)) }))
		require.NoError(t, err, name)
		assert.Empty(t, e.Pulls, name)
		assert.Contains(t, e.Keys, reconcile.PullKey("1", 7), name)
	}
}

func TestParse_TextIsBoundedAndURLsAreWebURLs(t *testing.T) {
	e, err := webhook.Parse("pull_request", guid, mergedPayload(t, func(p map[string]any) {
		p["pull_request"].(map[string]any)["title"] = strings.Repeat("\u2728", 1000)
		r := p["repository"].(map[string]any)
		r["clone_url"], r["html_url"], r["default_branch"] = "ext::sh -c id", "https://user:pw@github.com/", "a..b"
	}))
	require.NoError(t, err)
	title := e.Pulls[0].Pull.Title
	assert.LessOrEqual(t, len(title), 1024)
	assert.True(t, utf8.ValidString(title))
	assert.Equal(t, reconcile.Repo{ID: "1", Installation: 3, Owner: "octo", Name: "infra"}, e.Repos[0])
}

func TestParse_PushLooksOnlyAtTheDefaultBranch(t *testing.T) {
	body := func(ref string, deleted bool) []byte {
		return fmt.Appendf(nil, `{"ref":%q,"deleted":%t,"repository":{"id":1,"full_name":"o/r","default_branch":"main","created_at":1527711484}}`, ref, deleted)
	}
	e, err := webhook.Parse("push", guid, body("refs/heads/main", false))
	require.NoError(t, err)
	assert.Equal(t, []reconcile.Key{reconcile.BranchKey("1", "main")}, e.Keys)
	for _, b := range [][]byte{body("refs/heads/topic", false), body("refs/tags/main", false), body("refs/heads/main", true)} {
		_, err := webhook.Parse("push", guid, b)
		assert.ErrorIs(t, err, webhook.ErrIgnored)
	}
}

func TestParse_RerunOfAForkNamesTheHead(t *testing.T) {
	sha := strings.Repeat("d", 40)
	e, err := webhook.Parse("check_run", guid, fmt.Appendf(nil,
		`{"action":"rerequested","check_run":{"head_sha":%q,"pull_requests":[{"number":4,"base":{"repo":{"id":99}}}]},"repository":{"id":1,"full_name":"o/r"}}`, sha))
	require.NoError(t, err)
	assert.Empty(t, e.Keys, "pull request 4 is of another repository")
	assert.Equal(t, []reconcile.Head{{Repo: "1", SHA: reconcile.CommitSHA(sha)}}, e.Heads)
}

func TestParse_RerunNamesManyPullRequestsAtMost(t *testing.T) {
	pulls := strings.Repeat(`{"number":4,"base":{"repo":{"id":1}}},`, 5000)
	e, err := webhook.Parse("check_suite", guid, fmt.Appendf(nil,
		`{"action":"rerequested","check_suite":{"pull_requests":[%s]},"repository":{"id":1,"full_name":"o/r"}}`, strings.TrimSuffix(pulls, ",")))
	require.NoError(t, err)
	assert.Len(t, e.Keys, 100)
}

func FuzzParse(f *testing.F) {
	for _, e := range examples(f) {
		f.Add(e.event, []byte(e.payload))
	}
	f.Add("push", []byte(`{"ref":"refs/heads/a","repository":{"id":1,"full_name":"a/b","default_branch":"a"}}`))
	f.Fuzz(func(t *testing.T, event string, body []byte) {
		e, err := webhook.Parse(event, guid, body)
		if err != nil {
			return
		}
		again, err := webhook.Parse(event, guid, body)
		if err != nil || !assert.ObjectsAreEqual(e, again) {
			t.Error("the same payload gave something else")
		}
		if len(e.Keys)+len(e.Heads) == 0 {
			t.Error("neither ignored nor of any consequence")
		}
		for _, key := range e.Keys {
			if parsed, err := reconcile.ParseKey(key.String()); err != nil || parsed != key {
				t.Errorf("key %q can't be read back", key)
			}
		}
		for _, p := range e.Pulls {
			if len(p.Pull.HeadSHA) != 40 || p.Pull.BaseRef == "" || p.Pull.UpdatedAt.IsZero() && p.Pull.UpdatedAt.Year() != 1 {
				t.Errorf("half a pull request: %+v", p)
			}
		}
		for _, r := range e.Repos {
			if r.ID == "" || strings.ContainsAny(r.Owner+r.Name, "/\\\x00 ") {
				t.Errorf("odd repository: %+v", r)
			}
		}
	})
}

func TestStatusOfEveryRefusalIsAClientError(t *testing.T) {
	h, _ := newHandler(t, webhook.Options{})
	for _, e := range examples(t) {
		cut := e.payload[:len(e.payload)/2]
		code, _ := serve(h, request(e.event, cut))
		assert.Equal(t, http.StatusBadRequest, code, "%s %s cut in half", e.event, e.action)
	}
}
