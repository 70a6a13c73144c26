package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	statementType = "https://in-toto.io/Statement/v1"
	// KeyEventType identifies the predicate of an entry that introduces keys.
	KeyEventType = "https://conductor.dev/key-event/v1"
	// MaxPatchBytes is the largest patch stored beside its entry; of a larger one
	// only the digest is kept.
	MaxPatchBytes = 1 << 20
	// maxStatementBytes bounds a Statement. A change that is larger loses the tail
	// of its semantic changes, and says how many; the patch's digest covers all.
	maxStatementBytes = 1 << 20
	// formatVersion is the version of everything derived: pages, indexes, layout.
	formatVersion = 1
)

// Statement is an in-toto Statement v1.
type Statement[P any] struct {
	Type          string    `json:"_type"`
	Subject       []Subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     P         `json:"predicate"`
}

// Subject is what a Statement is about: a commit (digest "gitCommit") or a file
// (digest "sha256").
type Subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// KeyEvent is the predicate of an entry that changes the keys. CL-0 is one, with
// event "init"; its subjects are the files of keys/.
type KeyEvent struct {
	URI       string    `json:"uri"`
	Number    int64     `json:"number"`
	Event     string    `json:"event"`
	Origin    string    `json:"origin"`
	Principal string    `json:"principal"`
	Format    int       `json:"format"`
	KeyID     string    `json:"keyId"`
	EntryKey  string    `json:"entryKey"` // PEM, P-256
	LogKey    string    `json:"logKey"`   // vkey, Ed25519
	ValidFrom time.Time `json:"validFrom"`
	// RecordedAt is the time of the entry's commit.
	RecordedAt time.Time `json:"recordedAt"`
}

// marshal gives the canonical bytes of any of our JSON files: two-space indent,
// field order of the type, no HTML escaping, a final newline.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// unmarshalCanonical decodes b into v and refuses bytes that marshal would not
// write: unknown or repeated fields, other spacing, trailing data.
func unmarshalCanonical(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("data after the JSON value")
	}
	again, err := marshal(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, b) {
		return fmt.Errorf("not in canonical form")
	}
	return nil
}

// changeStatement gives the Statement of a change, with c bounded.
func changeStatement(c Change) (Change, []byte, error) {
	for {
		st := Statement[Change]{
			Type:          statementType,
			Subject:       changeSubjects(c),
			PredicateType: PredicateType,
			Predicate:     c,
		}
		b, err := marshal(st)
		if err != nil {
			return c, nil, fmt.Errorf("encode %s: %w", EntryName(c.Number), err)
		}
		if len(b) <= maxStatementBytes {
			return c, b, nil
		}
		if len(c.Semantic) == 0 {
			return c, nil, fmt.Errorf("%w: the statement of commit %s is %d bytes without its semantic changes, at most %d are allowed",
				ErrInvalidDraft, c.Commit, len(b), maxStatementBytes)
		}
		keep := len(c.Semantic) / 2
		c.SemanticOmitted += len(c.Semantic) - keep
		c.Semantic = c.Semantic[:keep:keep]
	}
}

func changeSubjects(c Change) []Subject {
	subjects := []Subject{{Name: c.Repository.Name, Digest: map[string]string{"gitCommit": c.Commit}}}
	if c.Diff.SHA256 != "" {
		subjects = append(subjects, Subject{
			Name:   EntryName(c.Number) + ".patch",
			Digest: map[string]string{"sha256": c.Diff.SHA256},
		})
	}
	return subjects
}

// entry is one numbered Statement, decoded: exactly one of Change and Key is
// set.
type entry struct {
	number    int64
	statement []byte
	change    *Change
	key       *KeyEvent
	subjects  []Subject
}

// parseStatement decodes the bytes of a .json file. It accepts only what the
// writer writes.
func parseStatement(b []byte) (*entry, error) {
	if len(b) > maxStatementBytes {
		return nil, fmt.Errorf("statement of %d bytes; at most %d are allowed", len(b), maxStatementBytes)
	}
	var kind struct {
		PredicateType string `json:"predicateType"`
	}
	if err := json.Unmarshal(b, &kind); err != nil {
		return nil, fmt.Errorf("decode statement: %w", err)
	}
	e := &entry{statement: b}
	switch kind.PredicateType {
	case PredicateType:
		var st Statement[Change]
		if err := unmarshalCanonical(b, &st); err != nil {
			return nil, fmt.Errorf("decode statement: %w", err)
		}
		e.change, e.number, e.subjects = &st.Predicate, st.Predicate.Number, st.Subject
		if err := checkChange(st); err != nil {
			return nil, err
		}
	case KeyEventType:
		var st Statement[KeyEvent]
		if err := unmarshalCanonical(b, &st); err != nil {
			return nil, fmt.Errorf("decode statement: %w", err)
		}
		e.key, e.number, e.subjects = &st.Predicate, st.Predicate.Number, st.Subject
		if st.Type != statementType || st.Predicate.URI != EntryURI(e.number) {
			return nil, fmt.Errorf("statement contradicts its own number or type")
		}
		if st.Predicate.Format != formatVersion {
			return nil, fmt.Errorf("ledger format %d; this version reads %d: use a newer conductor", st.Predicate.Format, formatVersion)
		}
	default:
		return nil, fmt.Errorf("unknown predicate type %q", clip(kind.PredicateType, 100))
	}
	return e, nil
}

func checkChange(st Statement[Change]) error {
	c := st.Predicate
	switch {
	case st.Type != statementType:
		return fmt.Errorf("statement type %q", clip(st.Type, 100))
	case c.URI != EntryURI(c.Number):
		return fmt.Errorf("uri %q is not that of number %d", clip(c.URI, 100), c.Number)
	}
	want, err := marshal(changeSubjects(c))
	if err != nil {
		return err
	}
	got, err := marshal(st.Subject)
	if err != nil {
		return err
	}
	if !bytes.Equal(want, got) {
		return fmt.Errorf("subjects differ from the predicate's commit and diff")
	}
	return validChange(c)
}

// validChange checks what becomes a path, an index line or a cursor.
func validChange(c Change) error {
	if err := validRepository(c.Repository); err != nil {
		return err
	}
	if !shaPattern.MatchString(c.Commit) {
		return fmt.Errorf("%w: commit %q is not 40 lower-case hex digits", ErrInvalidDraft, clip(c.Commit, 60))
	}
	if c.Diff.SHA256 != "" && !isHex(c.Diff.SHA256, 64) {
		return fmt.Errorf("%w: diff digest %q is not sha256 in hex", ErrInvalidDraft, clip(c.Diff.SHA256, 80))
	}
	if y := c.MergedAt.UTC().Year(); y < 1970 || y > 9999 {
		return fmt.Errorf("%w: merge time in year %d", ErrInvalidDraft, y)
	}
	return nil
}

func validRepository(r Repository) error {
	if !repoIDPattern.MatchString(r.ID) {
		return fmt.Errorf("%w: repository id %q does not match %s", ErrInvalidDraft, clip(r.ID, 80), repoIDPattern)
	}
	return nil
}

func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}

// describePatch fills what a patch says of itself. A patch over MaxPatchBytes is
// digested but not stored.
func describePatch(patch []byte) Diff {
	sum := sha256.Sum256(patch)
	d := Diff{SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(patch)), Stored: len(patch) > 0 && len(patch) <= MaxPatchBytes}
	inHunk := false
	for line := range bytes.Lines(patch) {
		switch {
		case bytes.HasPrefix(line, []byte("diff --git ")):
			d.Files++
			inHunk = false
		case bytes.HasPrefix(line, []byte("@@ ")):
			inHunk = true
		case inHunk && line[0] == '+':
			d.Additions++
		case inHunk && line[0] == '-':
			d.Deletions++
		}
	}
	return d
}
