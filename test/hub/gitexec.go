package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// zeroSHA is what GitHub writes for a ref that doesn't exist.
const zeroSHA = "0000000000000000000000000000000000000000"

// findBackend finds git http-backend, which smart HTTP is served by.
func findBackend(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "git", "--exec-path").Output()
	if err != nil {
		return "", fmt.Errorf("find git (install it, 2.38 or later): %w", err)
	}
	p := filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
	if _, err := os.Stat(p); err != nil {
		return "", fmt.Errorf("find git http-backend (it comes with git): %w", err)
	}
	return p, nil
}

// gitEnv is the whole environment of git: no configuration but the repository's.
func (h *Hub) gitEnv(extra ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(h.dir, "home"),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_TERMINAL_PROMPT=0",
		"GIT_ALLOW_PROTOCOL=file", "LC_ALL=C", "TZ=UTC",
	}, extra...)
}

// run runs git in dir and returns what it prints.
func (h *Hub) run(dir string, stdin io.Reader, env []string, args ...string) ([]byte, error) {
	args = append([]string{"-c", "core.quotePath=false", "-c", "core.hooksPath=" + os.DevNull, "-c", "gc.auto=0"}, args...)
	cmd := exec.CommandContext(h.ctx, "git", args...)
	cmd.Dir, cmd.Stdin, cmd.Env = dir, stdin, h.gitEnv(env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.Bytes(), fmt.Errorf("git %s: %w: %s", args[6], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

func (h *Hub) git(r *repo, args ...string) (string, error) {
	out, err := h.run(r.dir, nil, nil, args...)
	return strings.TrimSuffix(string(out), "\n"), err
}

// refName is a conservative version of git check-ref-format.
var refName = regexp.MustCompile(`^[^\x00-\x20\x7f~^:?*\[\\-][^\x00-\x20\x7f~^:?*\[\\]*$`)

func validRef(s string) bool {
	return refName.MatchString(s) && len(s) < 250 && !strings.Contains(s, "..") && !strings.Contains(s, "@{") &&
		!strings.Contains(s, "//") && !strings.HasSuffix(s, "/") && !strings.HasSuffix(s, ".lock") && !strings.HasSuffix(s, ".")
}

var shaForm = regexp.MustCompile(`^[0-9a-f]{7,40}$`)

// resolve finds the commit of a branch, tag, full ref or (abbreviated) SHA.
func (h *Hub) resolve(r *repo, ref string) (string, bool) {
	try := func(name string) (string, bool) {
		out, err := h.git(r, "rev-parse", "--verify", "--quiet", "--end-of-options", name+"^{commit}")
		return out, err == nil && len(out) == 40
	}
	if _, known := r.known[ref]; known {
		return ref, true
	}
	if shaForm.MatchString(ref) {
		if sha, ok := try(ref); ok {
			return sha, true
		}
	}
	if !validRef(ref) {
		return "", false
	}
	for _, prefix := range []string{"refs/heads/", "refs/tags/", "refs/"} {
		if sha, ok := try(prefix + strings.TrimPrefix(ref, "refs/")); ok {
			return sha, true
		}
	}
	if ref == "HEAD" {
		return try("HEAD")
	}
	return "", false
}

// branch finds the tip of a branch.
func (h *Hub) branch(r *repo, name string) (string, bool) {
	if !validRef(name) {
		return "", false
	}
	out, err := h.git(r, "rev-parse", "--verify", "--quiet", "--end-of-options", "refs/heads/"+name)
	return out, err == nil && len(out) == 40
}

// refs lists branches and tags.
func (h *Hub) refs(r *repo) (map[string]string, error) {
	out, err := h.git(r, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags")
	if err != nil {
		return nil, err
	}
	refs := map[string]string{}
	for line := range strings.SplitSeq(out, "\n") {
		if sha, name, ok := strings.Cut(line, " "); ok {
			refs[name] = sha
		}
	}
	return refs, nil
}

var errMoved = errors.New("the ref has moved")

// setRef moves a ref from old to new; zeroSHA makes or deletes it.
func (h *Hub) setRef(r *repo, ref, old, now string) error {
	_, err := h.git(r, "update-ref", "--no-deref", ref, now, old)
	if err != nil {
		return fmt.Errorf("%w: %w", errMoved, err)
	}
	return nil
}

// person is a name and address in a commit.
type person struct {
	name, email string
	when        time.Time
}

func (p person) env(role string) []string {
	clean := strings.NewReplacer("\n", " ", "<", "", ">", "", "\x00", "")
	name := clean.Replace(p.name)
	if strings.TrimSpace(name) == "" {
		name = "nobody"
	}
	return []string{"GIT_" + role + "_NAME=" + name, "GIT_" + role + "_EMAIL=" + clean.Replace(p.email),
		fmt.Sprintf("GIT_%s_DATE=@%d +0000", role, p.when.Unix())}
}

// commitTree writes a commit object.
func (h *Hub) commitTree(r *repo, tree, message string, author, committer person, parents ...string) (string, error) {
	args := []string{"commit-tree", tree}
	for _, p := range parents {
		args = append(args, "-p", p)
	}
	out, err := h.run(r.dir, strings.NewReader(message), append(author.env("AUTHOR"), committer.env("COMMITTER")...), args...)
	return strings.TrimSpace(string(out)), err
}

// commit is a commit as the API shows it.
type commit struct {
	sha, tree         string
	parents           []string
	author, committer person
	message           string
	files             []fileStatus // only where asked for
}

type fileStatus struct {
	status byte // A, M, D, T
	path   string
}

// commits reads commits by the arguments of git log, which must not be foreign.
func (h *Hub) commits(r *repo, files bool, args ...string) ([]commit, error) {
	mark, err := h.random(12)
	if err != nil {
		return nil, err
	}
	format := mark + "%x00%H%x00%T%x00%P%x00%an%x00%ae%x00%at%x00%cn%x00%ce%x00%ct%x00%B%x00"
	full := []string{"log", "--format=tformat:" + format}
	if files {
		full = append(full, "-z", "--name-status", "--no-renames", "--diff-merges=first-parent")
	}
	out, err := h.run(r.dir, nil, nil, append(full, args...)...)
	if err != nil {
		return nil, err
	}
	var all []commit
	for _, rec := range strings.Split(string(out), mark+"\x00")[1:] {
		f := strings.SplitN(rec, "\x00", 11)
		if len(f) < 11 {
			return nil, fmt.Errorf("git log: unexpected output")
		}
		c := commit{sha: f[0], tree: f[1], parents: strings.Fields(f[2]),
			author: person{f[3], f[4], unix(f[5])}, committer: person{f[6], f[7], unix(f[8])},
			message: strings.TrimRight(f[9], "\n")}
		if files {
			c.files = nameStatus(f[10])
		}
		all = append(all, c)
	}
	return all, nil
}

// maxKnown bounds a repository's cache of commits.
const maxKnown = 4096

// commitAt reads one commit by its full SHA; what it says can't change, so that it
// is kept. Hub.mu is held.
func (h *Hub) commitAt(r *repo, sha string) (commit, error) {
	if k, ok := r.known[sha]; ok {
		return k, nil
	}
	all, err := h.commits(r, false, "-1", sha)
	if err != nil {
		return commit{}, err
	}
	if len(all) != 1 {
		return commit{}, fmt.Errorf("git log: no commit %s", sha)
	}
	if r.known == nil || len(r.known) >= maxKnown {
		r.known = map[string]commit{}
	}
	r.known[all[0].sha] = all[0]
	return all[0], nil
}

func nameStatus(s string) []fileStatus {
	var out []fileStatus
	f := strings.Split(strings.TrimLeft(s, "\n\x00"), "\x00")
	for i := 0; i+1 < len(f); i += 2 {
		if st := strings.TrimSpace(f[i]); st != "" {
			out = append(out, fileStatus{st[0], f[i+1]})
		}
	}
	return out
}

func unix(s string) time.Time {
	var n int64
	_, _ = fmt.Sscan(s, &n) // 0 for a commit without a valid date
	return time.Unix(n, 0).UTC()
}
