package ledger

import (
	"fmt"
	"sort"
	"unicode"
	"unicode/utf8"
)

// Cursor says how far a branch was examined. Since is where watching began ("" =
// from the root commit), Through the last examined commit. Both are "" for a branch
// that had no commit yet when watching began.
type Cursor struct {
	Repository     Repository
	Branch         string
	Since, Through string
}

// cursorFile is cursors/<repository id>.json.
type cursorFile struct {
	Repository Repository     `json:"repository"`
	Branches   []branchCursor `json:"branches"` // sorted by branch
}

type branchCursor struct {
	Branch  string `json:"branch"`
	Since   string `json:"since"`
	Through string `json:"through"`
}

const (
	maxCursorBytes = 1 << 20
	maxBranches    = 1000
)

func (c Cursor) check() error {
	if err := validRepository(c.Repository); err != nil {
		return err
	}
	if c.Through == "" && c.Since != "" || c.Through != "" && !shaPattern.MatchString(c.Through) || c.Since != "" && !shaPattern.MatchString(c.Since) {
		return fmt.Errorf("%w: cursor of %s from %q through %q is not between commits", ErrInvalidDraft, c.Repository.ID, clip(c.Since, 50), clip(c.Through, 50))
	}
	if c.Branch == "" || len(c.Branch) > 255 || !utf8.ValidString(c.Branch) {
		return fmt.Errorf("%w: branch name %q", ErrInvalidDraft, clip(c.Branch, 80))
	}
	for _, r := range c.Branch {
		if unicode.IsControl(r) {
			return fmt.Errorf("%w: branch name %q", ErrInvalidDraft, clip(c.Branch, 80))
		}
	}
	return nil
}

// parseCursors reads a cursor file of the given repository.
func parseCursors(b []byte, repositoryID string) (*cursorFile, error) {
	if len(b) > maxCursorBytes {
		return nil, fmt.Errorf("cursor file of %d bytes; at most %d are allowed", len(b), maxCursorBytes)
	}
	var f cursorFile
	if err := unmarshalCanonical(b, &f); err != nil {
		return nil, fmt.Errorf("decode cursors: %w", err)
	}
	if f.Repository.ID != repositoryID {
		return nil, fmt.Errorf("cursors of repository %q in the file of %q", clip(f.Repository.ID, 80), repositoryID)
	}
	if len(f.Branches) > maxBranches {
		return nil, fmt.Errorf("cursors of %d branches; at most %d are allowed", len(f.Branches), maxBranches)
	}
	for i, br := range f.Branches {
		if err := (Cursor{f.Repository, br.Branch, br.Since, br.Through}).check(); err != nil {
			return nil, err
		}
		if i > 0 && f.Branches[i-1].Branch >= br.Branch {
			return nil, fmt.Errorf("branches of the cursor file are not sorted")
		}
	}
	return &f, nil
}

func (f *cursorFile) find(branch string) (int, bool) {
	i := sort.Search(len(f.Branches), func(i int) bool { return f.Branches[i].Branch >= branch })
	return i, i < len(f.Branches) && f.Branches[i].Branch == branch
}

func (f *cursorFile) set(c Cursor) {
	f.Repository = c.Repository
	bc := branchCursor{c.Branch, c.Since, c.Through}
	i, ok := f.find(c.Branch)
	if ok {
		f.Branches[i] = bc
		return
	}
	f.Branches = append(f.Branches[:i:i], append([]branchCursor{bc}, f.Branches[i:]...)...)
}
