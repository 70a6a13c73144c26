package webhook

import (
	"errors"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/conductor-dev/conductor/ledger"
	"github.com/conductor-dev/conductor/reconcile"
)

// payload is what is used of any event's payload.
type payload struct {
	Action       string           `json:"action"`
	Ref          string           `json:"ref"`
	Deleted      bool             `json:"deleted"`
	Installation *numbered        `json:"installation"`
	Repository   *repositoryFacts `json:"repository"`
	PullRequest  *pullFacts       `json:"pull_request"`
	CheckRun     *check           `json:"check_run"`
	CheckSuite   *check           `json:"check_suite"`
}

type numbered struct {
	ID int64 `json:"id"`
}

type repositoryFacts struct {
	ID            int64  `json:"id"`
	FullName      string `json:"full_name"`
	DefaultBranch string `json:"default_branch"`
	CloneURL      string `json:"clone_url"`
	HTMLURL       string `json:"html_url"`
}

type user struct {
	Login string `json:"login"`
	ID    int64  `json:"id"`
}

// branchEnd is a pull request's head or base. Repo is null when it was deleted.
type branchEnd struct {
	Ref  string    `json:"ref"`
	SHA  string    `json:"sha"`
	Repo *numbered `json:"repo"`
}

// pullFacts keeps times as text, so that an odd one spoils the facts only.
type pullFacts struct {
	Number         int64     `json:"number"`
	Title          string    `json:"title"`
	HTMLURL        string    `json:"html_url"`
	State          string    `json:"state"`
	Draft          bool      `json:"draft"`
	Merged         bool      `json:"merged"`
	User           *user     `json:"user"`
	MergedBy       *user     `json:"merged_by"`
	MergeCommitSHA string    `json:"merge_commit_sha"`
	MergedAt       string    `json:"merged_at"`
	UpdatedAt      string    `json:"updated_at"`
	Commits        int       `json:"commits"`
	Head           branchEnd `json:"head"`
	Base           branchEnd `json:"base"`
}

// check is a check run or a check suite.
type check struct {
	HeadSHA      string `json:"head_sha"`
	PullRequests []struct {
		Number int64 `json:"number"`
		Base   struct {
			Repo numbered `json:"repo"`
		} `json:"base"`
	} `json:"pull_requests"`
	Suite *check `json:"check_suite"`
}

// Bounds of stored text, in bytes. GitHub's own are lower: 256 characters for a
// title, 39 for a login, 244 bytes for a branch.
const (
	maxTitle  = 1024
	maxLogin  = 128
	maxBranch = 255
	maxURL    = 1024
	maxName   = 128
)

// repo gives the repository that the payload is about. What is odd of it is left
// empty, except for its identity.
func (p *payload) repo() (reconcile.Repo, error) {
	r := p.Repository
	if r == nil || r.ID <= 0 {
		return reconcile.Repo{}, errors.New("it has no repository")
	}
	owner, name, _ := strings.Cut(r.FullName, "/")
	if !validName(owner) || !validName(name) {
		return reconcile.Repo{}, errors.New("the repository's name is malformed")
	}
	repo := reconcile.Repo{ID: repoID(r.ID), Owner: owner, Name: name, CloneURL: webURL(r.CloneURL), HTMLURL: webURL(r.HTMLURL)}
	if validBranch(r.DefaultBranch) {
		repo.DefaultBranch = r.DefaultBranch
	}
	if p.Installation != nil && p.Installation.ID > 0 {
		repo.Installation = p.Installation.ID
	}
	return repo, nil
}

func (f *pullFacts) number() (int, error) {
	if f == nil || !validNumber(f.Number) {
		return 0, errors.New("it has no pull request")
	}
	return int(f.Number), nil
}

// fact gives the pull request, or false when what must hold of one doesn't: then the
// forge is to be asked.
func (f *pullFacts) fact() (reconcile.PullRequest, bool) {
	head, ok := commitSHA(f.Head.SHA)
	updated, err := time.Parse(time.RFC3339, f.UpdatedAt)
	if !ok || err != nil || !validBranch(f.Base.Ref) || f.State != "open" && f.State != "closed" {
		return reconcile.PullRequest{}, false
	}
	p := reconcile.PullRequest{
		Number: int(f.Number), Title: clip(f.Title, maxTitle), HTMLURL: webURL(f.HTMLURL), State: f.State, Draft: f.Draft,
		Merged: f.Merged, BaseRef: f.Base.Ref, HeadSHA: head, Commits: max(0, f.Commits), UpdatedAt: updated.UTC(),
	}
	if f.User != nil {
		p.Author = f.User.person()
	}
	if f.Head.Repo != nil && f.Head.Repo.ID > 0 {
		p.HeadRepoID = repoID(f.Head.Repo.ID)
	}
	if !p.Merged {
		return p, true
	}
	// Before the merge this is the test merge, which says nothing.
	merge, ok := commitSHA(f.MergeCommitSHA)
	at, err := time.Parse(time.RFC3339, f.MergedAt)
	if !ok || err != nil {
		return reconcile.PullRequest{}, false
	}
	p.MergeSHA, p.MergedAt = merge, at.UTC()
	if f.MergedBy != nil {
		merger := f.MergedBy.person()
		p.Merger = &merger
	}
	return p, true
}

func (u *user) person() ledger.Person {
	return ledger.Person{Login: clip(u.Login, maxLogin), ID: max(0, u.ID)}
}

func repoID(id int64) reconcile.RepoID { return reconcile.RepoID(strconv.FormatInt(id, 10)) }

// validNumber bounds a pull request's number to what an int holds everywhere.
func validNumber(n int64) bool { return n > 0 && n < 1<<31 }

var (
	sha1Name = regexp.MustCompile(`^[0-9a-f]{40}$`)
	repoName = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
)

func commitSHA(s string) (reconcile.CommitSHA, bool) {
	return reconcile.CommitSHA(s), sha1Name.MatchString(s)
}

func validName(s string) bool {
	return len(s) <= maxName && repoName.MatchString(s) && s != "." && s != ".."
}

// validBranch says whether a name can be a branch's, by git-check-ref-format.
func validBranch(s string) bool {
	if s == "" || len(s) > maxBranch || !utf8.ValidString(s) || s == "@" || s[0] == '-' {
		return false
	}
	if strings.ContainsAny(s, " ~^:?*[\\") || strings.ContainsFunc(s, unicode.IsControl) || strings.Contains(s, "..") || strings.Contains(s, "@{") {
		return false
	}
	if strings.HasSuffix(s, ".") {
		return false
	}
	for part := range strings.SplitSeq(s, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return true
}

// webURL gives an http or https URL without credentials, or "".
func webURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || len(s) > maxURL || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return ""
	}
	return s
}

// clip cuts a text to a number of bytes, at a character's end.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
