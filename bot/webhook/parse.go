package webhook

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/conductor-dev/conductor/reconcile"
)

// ErrIgnored is returned, wrapped with the reason, for a delivery that is in order
// and needs nothing done.
var ErrIgnored = errors.New("nothing to do")

// maxKeys bounds the pull requests that one check event may name.
const maxKeys = 100

// Parse turns a delivery's payload into the facts and keys that it names. It is a
// pure function, and doesn't trust that the payload has the right shape. It returns
// ErrIgnored for an event that needs nothing done, and another error for one that
// can't be understood.
//
//	pull_request opened, synchronize, reopened, edited, ready_for_review,
//	  converted_to_draft, closed               the pull request; when merged into the
//	                                           default branch, that branch too
//	pull_request_review                        the pull request
//	push to the default branch                 the branch
//	check_run, check_suite rerequested         the pull requests they name, or those
//	                                           with their head
//	installation, installation_repositories,
//	  repository                               the installation
//	anything else, merge_group among it        ignored
func Parse(event, delivery string, body []byte) (reconcile.Event, error) {
	parse, listed := parsers[event]
	if !listed {
		if !json.Valid(body) {
			return reconcile.Event{}, errors.New("the payload is not JSON")
		}
		return reconcile.Event{}, ignored("event %s", event)
	}
	var p *payload
	if err := json.Unmarshal(body, &p); err != nil {
		return reconcile.Event{}, fmt.Errorf("read %s payload: %w", event, err)
	}
	if p == nil {
		return reconcile.Event{}, fmt.Errorf("read %s payload: it is null", event)
	}
	if len(p.Action) > 64 {
		return reconcile.Event{}, fmt.Errorf("read %s payload: its action has %d bytes", event, len(p.Action))
	}
	e := reconcile.Event{Delivery: delivery, Name: event, Action: p.Action}
	err := parse(p, &e)
	if errors.Is(err, ErrIgnored) {
		return reconcile.Event{}, err
	}
	if err != nil {
		return reconcile.Event{}, fmt.Errorf("read %s payload: %w", event, err)
	}
	return e, nil
}

// parsers fill in an event from the payload. This is the list of allowed events.
var parsers = map[string]func(*payload, *reconcile.Event) error{
	"pull_request":              pullRequest,
	"pull_request_review":       pullRequestReview,
	"push":                      push,
	"check_run":                 func(p *payload, e *reconcile.Event) error { return rerun(p, e, p.CheckRun) },
	"check_suite":               func(p *payload, e *reconcile.Event) error { return rerun(p, e, p.CheckSuite) },
	"installation":              installation,
	"installation_repositories": installation,
	"repository":                repositoryChange,
}

func ignored(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrIgnored}, args...)...)
}

func pullRequest(p *payload, e *reconcile.Event) error {
	switch p.Action {
	case "opened", "synchronize", "reopened", "edited", "ready_for_review", "converted_to_draft", "closed":
	default:
		return ignored("action %q", p.Action)
	}
	repo, err := p.repo()
	if err != nil {
		return err
	}
	number, err := p.PullRequest.number()
	if err != nil {
		return err
	}
	e.Repos = []reconcile.Repo{repo}
	e.Keys = []reconcile.Key{reconcile.PullKey(repo.ID, number)}
	if fact, ok := p.PullRequest.fact(); ok {
		e.Pulls = []reconcile.PullFact{{Repo: repo.ID, Pull: fact}}
	}
	merged := p.Action == "closed" && p.PullRequest.Merged
	if base := p.PullRequest.Base.Ref; merged && repo.DefaultBranch != "" && base == repo.DefaultBranch {
		e.Keys = append(e.Keys, reconcile.BranchKey(repo.ID, base))
	}
	return nil
}

// pullRequestReview stores no facts: the pull request in this payload lacks whether
// it is merged, and how many commits it has.
func pullRequestReview(p *payload, e *reconcile.Event) error {
	repo, err := p.repo()
	if err != nil {
		return err
	}
	number, err := p.PullRequest.number()
	if err != nil {
		return err
	}
	e.Repos = []reconcile.Repo{repo}
	e.Keys = []reconcile.Key{reconcile.PullKey(repo.ID, number)}
	return nil
}

// push looks only at the default branch: a push to a pull request's head comes as
// synchronize, too.
func push(p *payload, e *reconcile.Event) error {
	repo, err := p.repo()
	if err != nil {
		return err
	}
	switch {
	case repo.DefaultBranch == "":
		return errors.New("the repository has no default branch")
	case p.Ref != "refs/heads/"+repo.DefaultBranch:
		return ignored("push to another ref than the default branch")
	case p.Deleted:
		return ignored("deletion of the branch")
	}
	e.Repos = []reconcile.Repo{repo}
	e.Keys = []reconcile.Key{reconcile.BranchKey(repo.ID, repo.DefaultBranch)}
	return nil
}

// rerun has checks made anew. Other actions are the echo of what we, or others,
// reported.
func rerun(p *payload, e *reconcile.Event, c *check) error {
	if p.Action != "rerequested" {
		return ignored("action %q", p.Action)
	}
	repo, err := p.repo()
	if err != nil {
		return err
	}
	if c == nil {
		return errors.New("it has no check")
	}
	e.Repos, e.Rerun = []reconcile.Repo{repo}, true
	pulls := c.PullRequests
	if len(pulls) == 0 && c.Suite != nil {
		pulls = c.Suite.PullRequests
	}
	for _, pull := range pulls {
		// Pull requests of other repositories with the same head may be among them.
		if repoID(pull.Base.Repo.ID) != repo.ID || !validNumber(pull.Number) {
			continue
		}
		if len(e.Keys) == maxKeys {
			break
		}
		e.Keys = append(e.Keys, reconcile.PullKey(repo.ID, int(pull.Number)))
	}
	if len(e.Keys) > 0 {
		return nil
	}
	sha, ok := commitSHA(c.HeadSHA)
	if !ok {
		return errors.New("the check names neither a pull request nor a commit")
	}
	e.Heads = []reconcile.Head{{Repo: repo.ID, SHA: sha}}
	return nil
}

// installation has the installation's repositories listed; those that the payload
// names lack their clone URL and default branch.
func installation(p *payload, e *reconcile.Event) error {
	if p.Installation == nil || p.Installation.ID <= 0 {
		return errors.New("it has no installation")
	}
	e.Keys = []reconcile.Key{reconcile.InstallationKey(p.Installation.ID)}
	return nil
}

// repositoryChange covers renames, transfers, archiving, deletion, visibility, and
// another default branch.
func repositoryChange(p *payload, e *reconcile.Event) error {
	repo, err := p.repo()
	if err != nil {
		return err
	}
	if repo.Installation == 0 {
		return ignored("repository without an installation")
	}
	e.Keys = []reconcile.Key{reconcile.InstallationKey(repo.Installation)}
	switch p.Action {
	case "renamed", "edited":
		e.Repos = []reconcile.Repo{repo}
	}
	return nil
}
