package reconcile

import (
	"fmt"
	"strconv"
	"strings"
)

// KeyKind says which loop a key belongs to.
type KeyKind string

const (
	// KeyPull is one pull request: judge its head, show the verdict.
	KeyPull KeyKind = "pull"
	// KeyBranch is one watched branch: record its commits in the ledger.
	KeyBranch KeyKind = "branch"
	// KeyInstallation is one installation of the App: which repositories are
	// watched.
	KeyInstallation KeyKind = "installation"
)

// Key names one thing to reconcile. Keys are compared, queued and logged as
// their String.
type Key struct {
	Kind   KeyKind
	Repo   RepoID // empty for KeyInstallation
	Number int64  // pull request number or installation id
	Branch string // KeyBranch only
}

// PullKey, BranchKey and InstallationKey make keys.
func PullKey(repo RepoID, number int) Key {
	return Key{Kind: KeyPull, Repo: repo, Number: int64(number)}
}

// BranchKey is the key of a watched branch.
func BranchKey(repo RepoID, branch string) Key {
	return Key{Kind: KeyBranch, Repo: repo, Branch: branch}
}

// InstallationKey is the key of an installation.
func InstallationKey(id int64) Key { return Key{Kind: KeyInstallation, Number: id} }

// String is "pull/<repo>/<number>", "branch/<repo>/<branch>" or
// "installation/<id>". Branch names may hold slashes; they come last.
func (k Key) String() string {
	switch k.Kind {
	case KeyPull:
		return fmt.Sprintf("pull/%s/%d", k.Repo, k.Number)
	case KeyBranch:
		return fmt.Sprintf("branch/%s/%s", k.Repo, k.Branch)
	default:
		return fmt.Sprintf("installation/%d", k.Number)
	}
}

// ParseKey is the inverse of String.
func ParseKey(s string) (Key, error) {
	kind, rest, _ := strings.Cut(s, "/")
	repo, last, _ := strings.Cut(rest, "/")
	switch KeyKind(kind) {
	case KeyPull:
		if n, err := strconv.Atoi(last); err == nil && repo != "" && n > 0 {
			return PullKey(RepoID(repo), n), nil
		}
	case KeyBranch:
		if repo != "" && last != "" {
			return BranchKey(RepoID(repo), last), nil
		}
	case KeyInstallation:
		if n, err := strconv.ParseInt(rest, 10, 64); err == nil && n > 0 {
			return InstallationKey(n), nil
		}
	}
	return Key{}, fmt.Errorf("reconcile key %q: want pull/REPO/N, branch/REPO/NAME or installation/N", s)
}
