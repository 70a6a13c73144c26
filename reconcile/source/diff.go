package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sort"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/diff"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/utils/merkletrie"

	"github.com/conductor-dev/conductor/manifests"
)

// Changed lists the manifest paths that differ between two commits, both names of
// a moved file included. base may be "" for the empty tree.
func (m *Mirror) Changed(ctx context.Context, base, head CommitSHA) (map[string]bool, error) {
	changes, err := m.treeDiff(ctx, base, head)
	if err != nil {
		return nil, err
	}
	paths := make(map[string]bool, len(changes))
	for _, c := range changes {
		for _, name := range []string{c.From.Name, c.To.Name} {
			if name != "" && manifests.Selects(name) {
				paths[name] = true
			}
		}
	}
	return paths, nil
}

func (m *Mirror) treeDiff(ctx context.Context, base, head CommitSHA) (object.Changes, error) {
	var from, to *object.Tree
	for _, side := range []struct {
		sha  CommitSHA
		tree **object.Tree
	}{{base, &from}, {head, &to}} {
		if side.sha == "" {
			continue
		}
		c, err := m.commit(side.sha)
		if err != nil {
			return nil, err
		}
		if *side.tree, err = c.Tree(); err != nil {
			return nil, fmt.Errorf("read tree of %s: %w", side.sha.Short(), err)
		}
	}
	changes, err := object.DiffTreeWithOptions(ctx, from, to, nil) // no rename detection: exact and cheap
	if err != nil {
		return nil, fmt.Errorf("compare %s with %s: %w", base.Short(), head.Short(), err)
	}
	return changes, nil
}

// Patch is the unified diff of the manifests that changed between two commits.
type Patch struct {
	Text                        []byte
	SHA256                      string // of Text, hex
	Files, Additions, Deletions int
	// Withheld are files whose content stays out of Text: they hold a Secret,
	// are binary, or are too large to compare. Their names and object ids are in
	// Text.
	Withheld []string
}

// Patch compares two commits. withhold names the paths whose content must not
// leave the repository.
func (m *Mirror) Patch(ctx context.Context, base, head CommitSHA, withhold func(path string) bool) (Patch, error) {
	changes, err := m.treeDiff(ctx, base, head)
	if err != nil {
		return Patch{}, err
	}
	sort.SliceStable(changes, func(i, j int) bool { return changedPath(changes[i]) < changedPath(changes[j]) })
	var p Patch
	var text bytes.Buffer
	for _, c := range changes {
		name := changedPath(c)
		if !manifests.Selects(name) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return Patch{}, err
		}
		p.Files++
		if withhold(name) || !m.comparable(c) {
			p.Withheld = append(p.Withheld, name)
			fmt.Fprintf(&text, "diff --git a/%s b/%s\nindex %s..%s\nContent withheld\n", quoted(name), quoted(name), c.From.TreeEntry.Hash, c.To.TreeEntry.Hash)
			continue
		}
		if err := p.add(ctx, &text, c); err != nil {
			return Patch{}, fmt.Errorf("compare %q: %w", name, err)
		}
	}
	p.Text = text.Bytes()
	sum := sha256.Sum256(p.Text)
	p.SHA256 = hex.EncodeToString(sum[:])
	return p, nil
}

func (p *Patch) add(ctx context.Context, text *bytes.Buffer, c *object.Change) error {
	patch, err := c.PatchContext(ctx)
	if err != nil {
		return err
	}
	for _, stat := range patch.Stats() {
		p.Additions += stat.Addition
		p.Deletions += stat.Deletion
	}
	return diff.NewUnifiedEncoder(text, diff.DefaultContextLines).Encode(patch)
}

// comparable is false for blobs past the size that manifests are read at.
func (m *Mirror) comparable(c *object.Change) bool {
	for _, side := range []object.ChangeEntry{c.From, c.To} {
		if side.Name == "" || !side.TreeEntry.Mode.IsFile() {
			continue
		}
		size, err := m.repo.Storer.EncodedObjectSize(side.TreeEntry.Hash)
		if err != nil || size > manifests.MaxFileBytes {
			return false
		}
	}
	return true
}

func changedPath(c *object.Change) string {
	if action, err := c.Action(); err == nil && action == merkletrie.Delete {
		return c.From.Name
	}
	return c.To.Name
}

// quoted keeps a path on its line.
func quoted(name string) string {
	return strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(name)
}
