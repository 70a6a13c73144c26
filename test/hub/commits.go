package hub

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (h *Hub) getRepo(c *call) *reply { return ok(h.fullRepoJSON(c.repo)) }

func (h *Hub) listBranches(c *call) *reply {
	refs, err := h.refs(c.repo)
	if err != nil {
		return fail(500, err.Error())
	}
	var names []string
	for ref := range refs {
		if b, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
			names = append(names, b)
		}
	}
	slices.Sort(names)
	var all []any
	for _, b := range names {
		sha := refs["refs/heads/"+b]
		all = append(all, obj{"name": b, "protected": false, "commit": obj{"sha": sha, "url": h.repoURL(c.repo) + "/commits/" + sha}})
	}
	return c.page(all)
}

func (h *Hub) getBranch(c *call) *reply {
	name := c.params["branch"]
	sha, found := h.branch(c.repo, name)
	if !found {
		return fail(404, "Branch not found")
	}
	k, err := h.commits(c.repo, false, "-1", sha)
	if err != nil {
		return fail(500, err.Error())
	}
	u := h.repoURL(c.repo) + "/branches/" + escapePath(name)
	return ok(obj{"name": name, "commit": h.commitJSON(c.repo, k[0]), "protected": false,
		"protection":     obj{"enabled": false, "required_status_checks": obj{"enforcement_level": "off", "contexts": []any{}, "checks": []any{}}},
		"protection_url": u + "/protection", "_links": obj{"self": u, "html": h.url + "/" + c.repo.full() + "/tree/" + escapePath(name)}})
}

func (h *Hub) refJSON(r *repo, ref, sha string) obj {
	kind, err := h.git(r, "cat-file", "-t", sha)
	if err != nil {
		kind = "commit"
	}
	return obj{"ref": ref, "node_id": nodeID("REF", r.id), "url": h.repoURL(r) + "/git/" + escapePath(ref),
		"object": obj{"sha": sha, "type": kind, "url": h.repoURL(r) + "/git/" + kind + "s/" + sha}}
}

// lookup finds a ref below refs/, also those of pull requests.
func (h *Hub) lookup(r *repo, ref string) (string, bool) {
	if !validRef(ref) {
		return "", false
	}
	out, err := h.git(r, "rev-parse", "--verify", "--quiet", "--end-of-options", ref)
	return out, err == nil && len(out) == 40
}

func (h *Hub) getRef(c *call) *reply {
	ref := "refs/" + strings.TrimPrefix(c.params["ref"], "refs/")
	sha, found := h.lookup(c.repo, ref)
	if !found {
		return notFound()
	}
	return ok(h.refJSON(c.repo, ref, sha))
}

func (h *Hub) matchingRefs(c *call) *reply {
	refs, err := h.refs(c.repo)
	if err != nil {
		return fail(500, err.Error())
	}
	var names []string
	for ref := range refs {
		if strings.HasPrefix(ref, "refs/"+c.params["ref"]) {
			names = append(names, ref)
		}
	}
	slices.Sort(names)
	var all []any
	for _, ref := range names {
		all = append(all, h.refJSON(c.repo, ref, refs[ref]))
	}
	return c.page(all)
}

func writable(ref string) bool {
	return validRef(ref) && (strings.HasPrefix(ref, "refs/heads/") || strings.HasPrefix(ref, "refs/tags/"))
}

func (h *Hub) createRef(c *call) *reply {
	var in struct{ Ref, SHA string }
	if bad := c.decode(&in); bad != nil {
		return bad
	}
	if !writable(in.Ref) {
		return fail(422, "Reference name is not valid; it must start with 'refs/' and have at least two slashes.")
	}
	if sha, found := h.resolve(c.repo, in.SHA); !found || sha != in.SHA {
		return fail(422, "Object does not exist")
	}
	if h.setRef(c.repo, in.Ref, zeroSHA, in.SHA) != nil {
		return fail(422, "Reference already exists")
	}
	h.moved(c.repo, h.accountOf(c.actor), in.Ref, zeroSHA, in.SHA)
	return created(h.refJSON(c.repo, in.Ref, in.SHA))
}

func (h *Hub) updateRef(c *call) *reply {
	var in struct {
		SHA   string
		Force bool
	}
	if bad := c.decode(&in); bad != nil {
		return bad
	}
	ref := "refs/" + c.params["ref"]
	old, found := h.lookup(c.repo, ref)
	if !found || !writable(ref) {
		return fail(422, "Reference does not exist")
	}
	if sha, found := h.resolve(c.repo, in.SHA); !found || sha != in.SHA {
		return fail(422, "Object does not exist")
	}
	if !in.Force && !h.isAncestor(c.repo, old, in.SHA) {
		return fail(422, "Update is not a fast forward")
	}
	if h.setRef(c.repo, ref, old, in.SHA) != nil {
		return fail(409, "Conflict")
	}
	h.moved(c.repo, h.accountOf(c.actor), ref, old, in.SHA)
	return ok(h.refJSON(c.repo, ref, in.SHA))
}

func (h *Hub) deleteRef(c *call) *reply {
	ref := "refs/" + c.params["ref"]
	old, found := h.lookup(c.repo, ref)
	if !found || !writable(ref) {
		return fail(422, "Reference does not exist")
	}
	if ref == "refs/heads/"+c.repo.defaultBranch {
		return fail(422, "Cannot delete the default branch")
	}
	if h.setRef(c.repo, ref, old, zeroSHA) != nil {
		return fail(409, "Conflict")
	}
	h.moved(c.repo, h.accountOf(c.actor), ref, old, zeroSHA)
	return &reply{status: 204}
}

func (h *Hub) isAncestor(r *repo, a, b string) bool {
	_, err := h.git(r, "merge-base", "--is-ancestor", a, b)
	return err == nil
}

func (h *Hub) listCommits(c *call) *reply {
	ref := or(c.r.URL.Query().Get("sha"), c.repo.defaultBranch)
	sha, found := h.resolve(c.repo, ref)
	if !found {
		if refs, err := h.refs(c.repo); err == nil && len(refs) == 0 {
			return fail(409, "Git Repository is empty.")
		}
		return notFound()
	}
	commits, err := h.commits(c.repo, false, "--max-count=10000", sha)
	if err != nil {
		return fail(500, err.Error())
	}
	// Only the page's commits are rendered; a history can be long.
	all := make([]any, len(commits))
	for i := range commits {
		all[i] = commits[i]
	}
	out := c.page(all)
	page := out.body.([]any)
	for i := range page {
		page[i] = h.commitJSON(c.repo, page[i].(commit))
	}
	return out
}

func (h *Hub) getCommit(c *call) *reply {
	sha, found := h.resolve(c.repo, c.params["ref"])
	if !found {
		return fail(422, "No commit found for SHA: "+c.params["ref"])
	}
	k, err := h.commits(c.repo, false, "-1", sha)
	if err != nil {
		return fail(500, err.Error())
	}
	out := h.commitJSON(c.repo, k[0])
	base := emptyTree
	if len(k[0].parents) > 0 {
		base = k[0].parents[0]
	}
	files, err := h.diff(c.repo, base+".."+sha, sha)
	if err != nil {
		return fail(500, err.Error())
	}
	add, del := 0, 0
	for _, f := range files {
		add += f.(obj)["additions"].(int)
		del += f.(obj)["deletions"].(int)
	}
	out["stats"] = obj{"additions": add, "deletions": del, "total": add + del}
	out["files"] = files[:min(len(files), 300)]
	return ok(out)
}

// compare answers base...head; a side may be owner:branch of a fork.
func (h *Hub) compare(c *call) *reply {
	base, head, found := strings.Cut(c.params["basehead"], "...")
	if !found {
		return notFound()
	}
	a, ok1 := h.side(c, base)
	b, ok2 := h.side(c, head)
	if !ok1 || !ok2 {
		return notFound()
	}
	mb, err := h.git(c.repo, "merge-base", a, b)
	if err != nil {
		return fail(404, fmt.Sprintf("No common ancestor between %s and %s.", base, head))
	}
	counts, err := h.git(c.repo, "rev-list", "--left-right", "--count", a+"..."+b)
	if err != nil {
		return fail(500, err.Error())
	}
	var behind, ahead int
	if _, err := fmt.Sscan(counts, &behind, &ahead); err != nil {
		return fail(500, err.Error())
	}
	status := "identical"
	switch {
	case ahead > 0 && behind > 0:
		status = "diverged"
	case ahead > 0:
		status = "ahead"
	case behind > 0:
		status = "behind"
	}
	list, err := h.commits(c.repo, false, "--reverse", a+".."+b)
	ends, err2 := h.commits(c.repo, false, "--no-walk=unsorted", a, mb)
	files, err3 := h.diff(c.repo, mb+".."+b, b)
	if err != nil || err2 != nil || err3 != nil || len(ends) == 0 {
		return fail(500, "Server Error")
	}
	var commits []any
	for _, k := range list {
		commits = append(commits, h.commitJSON(c.repo, k))
	}
	out := c.page(commits)
	html := h.url + "/" + c.repo.full() + "/compare/" + escapePath(base+"..."+head)
	out.body = obj{"url": h.repoURL(c.repo) + "/compare/" + escapePath(base+"..."+head), "html_url": html, "permalink_url": html,
		"diff_url": html + ".diff", "patch_url": html + ".patch", "base_commit": h.commitJSON(c.repo, ends[0]),
		"merge_base_commit": h.commitJSON(c.repo, ends[len(ends)-1]), "status": status, "ahead_by": ahead, "behind_by": behind,
		"total_commits": ahead, "commits": out.body, "files": files[:min(len(files), 300)]}
	return out
}

// side resolves one side of a comparison, bringing a fork's objects in.
func (h *Hub) side(c *call, s string) (string, bool) {
	owner, ref, cross := strings.Cut(s, ":")
	if !cross {
		return h.resolve(c.repo, s)
	}
	from := h.forkOf(c.repo, owner)
	if from == nil || !c.actor.sees(from) {
		return "", false
	}
	sha, found := h.resolve(from, ref)
	if found && from != c.repo {
		_, err := h.git(c.repo, "fetch", "--quiet", "--no-tags", from.dir, sha)
		found = err == nil
	}
	return sha, found
}

// emptyTree is the SHA-1 of the tree without entries, which git always knows.
const emptyTree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

var fileStates = map[byte]string{'A': "added", 'M': "modified", 'D': "removed", 'R': "renamed", 'C': "copied", 'T': "changed"}

// diff lists the files of a range as diff-entries, with their patches; at is the
// commit that links lead to.
func (h *Hub) diff(r *repo, rng, at string) ([]any, error) {
	raw, err := h.run(r.dir, nil, nil, "diff", "-z", "--raw", "--no-abbrev", "--numstat", "-M", "--end-of-options", rng)
	if err != nil {
		return nil, err
	}
	patch, err := h.run(r.dir, nil, nil, "diff", "--no-color", "--no-ext-diff", "-M", "--end-of-options", rng)
	if err != nil {
		return nil, err
	}
	var files []any
	f := strings.Split(string(raw), "\x00")
	i := 0
	for i < len(f) && strings.HasPrefix(f[i], ":") {
		meta := strings.Fields(f[i])
		state := fileStates[meta[4][0]]
		e := obj{"sha": meta[3], "status": or(state, "changed"), "filename": f[i+1]}
		i += 2
		if state == "renamed" || state == "copied" {
			e["previous_filename"], e["filename"] = e["filename"], f[i]
			i++
		}
		if state == "removed" {
			e["sha"] = meta[2]
		}
		files = append(files, e)
	}
	// numstat follows in the same order: added, deleted and path (or two paths).
	for n := 0; n < len(files) && i < len(f); n++ {
		parts := strings.SplitN(f[i], "\t", 3)
		i++
		if len(parts) == 3 && parts[2] == "" {
			i += 2
		}
		e := files[n].(obj)
		add, _ := strconv.Atoi(parts[0]) // "-" for a binary file counts as 0
		del := 0
		if len(parts) > 1 {
			del, _ = strconv.Atoi(parts[1])
		}
		e["additions"], e["deletions"], e["changes"] = add, del, add+del
	}
	hunks := strings.Split("\n"+string(patch), "\ndiff --git ")
	for n := range files {
		e := files[n].(obj)
		path := escapePath(e["filename"].(string))
		e["blob_url"] = h.url + "/" + r.full() + "/blob/" + at + "/" + path
		e["raw_url"] = h.url + "/" + r.full() + "/raw/" + at + "/" + path
		e["contents_url"] = h.repoURL(r) + "/contents/" + path + "?ref=" + at
		if len(hunks) == len(files)+1 {
			if k := strings.Index(hunks[n+1], "\n@@ "); k >= 0 {
				e["patch"] = strings.TrimSuffix(hunks[n+1][k+1:], "\n")
			}
		}
	}
	return files, nil
}

func gitUser(p person) obj {
	return obj{"name": p.name, "email": p.email, "date": stamp(p.when)}
}

func (h *Hub) commitJSON(r *repo, k commit) obj {
	u, html := h.repoURL(r)+"/commits/"+k.sha, h.url+"/"+r.full()+"/commit/"+k.sha
	parents := []any{}
	for _, p := range k.parents {
		parents = append(parents, obj{"sha": p, "url": h.repoURL(r) + "/commits/" + p, "html_url": h.url + "/" + r.full() + "/commit/" + p})
	}
	return obj{
		"sha": k.sha, "node_id": nodeID("C"+k.sha, r.id), "url": u, "html_url": html, "comments_url": u + "/comments",
		"commit": obj{"url": h.repoURL(r) + "/git/commits/" + k.sha, "author": gitUser(k.author), "committer": gitUser(k.committer),
			"message": k.message, "comment_count": 0, "tree": obj{"sha": k.tree, "url": h.repoURL(r) + "/git/trees/" + k.tree},
			"verification": obj{"verified": false, "reason": "unsigned", "signature": nil, "payload": nil, "verified_at": nil}},
		"author": h.userJSON(h.byEmail(k.author.email)), "committer": h.userJSON(h.byEmail(k.committer.email)), "parents": parents,
	}
}

func simpleCommit(k commit) obj {
	return obj{"id": k.sha, "tree_id": k.tree, "message": k.message, "timestamp": k.committer.when.Format(time.RFC3339),
		"author": obj{"name": k.author.name, "email": k.author.email}, "committer": obj{"name": k.committer.name, "email": k.committer.email}}
}

// pushCommit is a commit as push events show it.
func (h *Hub) pushCommit(r *repo, k commit) obj {
	out := simpleCommit(k)
	added, removed, modified := []string{}, []string{}, []string{}
	for _, f := range k.files {
		switch f.status {
		case 'A':
			added = append(added, f.path)
		case 'D':
			removed = append(removed, f.path)
		default:
			modified = append(modified, f.path)
		}
	}
	who := func(p person) obj {
		o := obj{"name": p.name, "email": p.email, "date": stamp(p.when)}
		if a := h.byEmail(p.email); a != nil {
			o["username"] = a.login
		}
		return o
	}
	out["author"], out["committer"] = who(k.author), who(k.committer)
	out["distinct"], out["url"] = true, h.url+"/"+r.full()+"/commit/"+k.sha
	out["added"], out["removed"], out["modified"] = added, removed, modified
	return out
}
