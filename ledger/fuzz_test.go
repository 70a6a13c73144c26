package ledger

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// goodFiles reads a real ledger's files as seeds.
func goodFiles(f *testing.F, paths ...string) [][]byte {
	f.Helper()
	dir, _, l := newLedger(f)
	_, err := l.Append(context.Background(), Batch{Drafts: drafts(0, 2), Cursors: []Cursor{testCursor(1)}})
	require.NoError(f, err)
	work := clone(f, dir)
	var out [][]byte
	for _, p := range paths {
		b, err := os.ReadFile(filepath.Join(work, p))
		require.NoError(f, err)
		out = append(out, b)
	}
	return out
}

func FuzzParseStatement(f *testing.F) {
	for _, b := range goodFiles(f, "change-log/00/00/CL-0.json", "change-log/00/00/CL-1.json") {
		f.Add(b)
	}
	keys := testKeys(f, "audit.example.com")
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseStatement(b)
		if err != nil {
			return
		}
		if e.change != nil {
			// Whatever parses must be safe to put on pages and in paths.
			page(keys.Public(), e)
			dayRows([]*entry{e})
			entryMessage(e)
		} else if p, err := e.key.public(); err == nil {
			page(p, e)
		}
	})
}

func FuzzParseBundle(f *testing.F) {
	for _, b := range goodFiles(f, "change-log/00/00/CL-1.sigstore.json") {
		f.Add(b)
	}
	p := testKeys(f, "audit.example.com").Public()
	f.Fuzz(func(t *testing.T, b []byte) {
		bd, err := ParseBundle(b)
		if err != nil {
			return
		}
		again, err := marshal(bd)
		require.NoError(t, err)
		require.Equal(t, b, again)
		_, _ = checkBundle(p, bd, bd.Envelope.Payload, 1, func(n string) (Checkpoint, error) { return openCheckpoint([]byte(n), p) })
	})
}

func FuzzOpenCheckpoint(f *testing.F) {
	for _, b := range goodFiles(f, "checkpoint") {
		f.Add(b)
	}
	p := testKeys(f, "audit.example.com").Public()
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := openCheckpoint(b, p); err == nil {
			require.True(t, bytes.HasPrefix(b, []byte(c.text())))
		}
		if c, err := parseCheckpoint(string(b)); err == nil {
			require.Equal(t, string(b), c.text())
		}
	})
}

func FuzzParseCursors(f *testing.F) {
	for _, b := range goodFiles(f, "cursors/1234567.json") {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseCursors(b, "1234567")
		if err != nil {
			return
		}
		again, err := marshal(c)
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}

func FuzzParseAllowedSigners(f *testing.F) {
	for _, b := range goodFiles(f, "keys/allowed_signers") {
		f.Add(b)
	}
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = parseAllowedSigners(b) })
}

func FuzzParseCommit(f *testing.F) {
	g, err := NewGitSigner(testKeys(f, "a").Entry, bytes.NewReader(make([]byte, 1024)))
	require.NoError(f, err)
	c := commit{email: "conductor@a", when: epoch, message: cursorMessage}
	require.NoError(f, c.sign(g))
	f.Add(c.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseCommit(b)
		if err != nil {
			return
		}
		require.Equal(t, b, c.encode())
		_ = c.verify(nil)
	})
}

func FuzzParseTree(f *testing.F) {
	f.Add(encodeTree([]treeEntry{{name: "a"}, {name: "b", dir: true}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := parseTree(b); err == nil {
			require.Equal(t, string(b), string(encodeTree(e)))
		}
	})
}

func FuzzParseEntryBundle(f *testing.F) {
	f.Add(entryBundle([][]byte{[]byte("a"), []byte("bc")}), 2)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		if n < 0 || n > tileWidth {
			return
		}
		if l, err := parseEntryBundle(b, n); err == nil {
			require.Equal(t, string(b), string(entryBundle(l)))
		}
	})
}
