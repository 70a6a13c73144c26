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
}

// PullFact is a pull request of a repository, as an event told it.
type PullFact struct {
	Repo RepoID
	Pull PullRequest
}
