package reconcile

// Event is an accepted delivery: facts that git doesn't have, and the keys to
// look at again. Accepting one is atomic: either its facts and keys are durable
// or the sender is told to try again.
type Event struct {
	// Delivery is the sender's id of the delivery; a redelivery keeps it.
	Delivery string
	Name     string // pull_request, push, ...
	Action   string // opened, synchronize, ...; "" where the event has none
	Repos    []Repo
	Pulls    []PullFact
	Keys     []Key
	// Heads are commits that the event names in place of pull requests, as GitHub
	// does for forks: the open pull requests with that head, as far as they are known
	// when the event is accepted, are looked at again.
	Heads []Head
	// Rerun says that somebody asked for fresh check runs: those that stand on the
	// pull requests of Keys and Heads count for nothing.
	Rerun bool
}

// Head is a commit that may be the head of pull requests of a repository.
type Head struct {
	Repo RepoID
	SHA  CommitSHA
}

// PullFact is a pull request of a repository, as an event told it.
type PullFact struct {
	Repo RepoID
	Pull PullRequest
}
