package ledger

import (
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// maxCheckpointBytes bounds a signed note: a few lines and up to 16 signatures.
const maxCheckpointBytes = 16 << 10

// Checkpoint is a C2SP tlog-checkpoint: what a log says it holds.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   tlog.Hash
}

func (c Checkpoint) text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// signCheckpoint writes c as a signed note.
func signCheckpoint(c Checkpoint, k *Keys) ([]byte, error) {
	s, err := newNoteSigner(k)
	if err != nil {
		return nil, err
	}
	b, err := note.Sign(&note.Note{Text: c.text()}, s)
	if err != nil {
		return nil, fmt.Errorf("sign checkpoint of size %d: %w", c.Size, err)
	}
	return b, nil
}

// openCheckpoint verifies a signed note with the log key of p. Signatures of
// keys that it doesn't know (witnesses) are ignored, as C2SP signed-note says.
func openCheckpoint(b []byte, p *Public) (Checkpoint, error) {
	c, err := openCheckpointWith(b, p.vkey())
	if err == nil && c.Origin != p.Origin {
		err = fmt.Errorf("checkpoint of log %q, not of %q", clip(c.Origin, 80), p.Origin)
	}
	return c, err
}

func openCheckpointWith(b []byte, vkey string) (Checkpoint, error) {
	if len(b) > maxCheckpointBytes {
		return Checkpoint{}, fmt.Errorf("checkpoint of %d bytes; at most %d are allowed", len(b), maxCheckpointBytes)
	}
	v, err := note.NewVerifier(strings.TrimSpace(vkey))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read log key: %w", err)
	}
	n, err := note.Open(b, note.VerifierList(v))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("verify checkpoint: %w", err)
	}
	return parseCheckpoint(n.Text)
}

// parseCheckpoint reads the text of a checkpoint; extension lines are refused,
// since this log writes none.
func parseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" || lines[0] == "" {
		return Checkpoint{}, fmt.Errorf("checkpoint is not three lines")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("checkpoint size %q", clip(lines[1], 40))
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize || base64.StdEncoding.EncodeToString(root) != lines[2] {
		return Checkpoint{}, fmt.Errorf("checkpoint root %q", clip(lines[2], 60))
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: tlog.Hash(root)}, nil
}

// noteSigner lets any Ed25519 crypto.Signer sign notes.
type noteSigner struct {
	name string
	hash uint32
	key  crypto.Signer
}

func newNoteSigner(k *Keys) (*noteSigner, error) {
	v, err := note.NewVerifier(k.Public().vkey())
	if err != nil {
		return nil, fmt.Errorf("read log key: %w", err)
	}
	return &noteSigner{name: v.Name(), hash: v.KeyHash(), key: k.Log}, nil
}

func (s *noteSigner) Name() string    { return s.name }
func (s *noteSigner) KeyHash() uint32 { return s.hash }
func (s *noteSigner) Sign(msg []byte) ([]byte, error) {
	return s.key.Sign(nil, msg, crypto.Hash(0))
}

// vkeyOf writes an Ed25519 key as a C2SP verifier key. The name was checked by
// validOrigin.
func vkeyOf(name string, key ed25519.PublicKey) string {
	vkey, err := note.NewEd25519VerifierKey(name, key)
	if err != nil {
		panic(err)
	}
	return vkey
}

// vkeyBytes takes the Ed25519 key out of a verifier key that note.NewVerifier
// accepted.
func vkeyBytes(vkey string) (ed25519.PublicKey, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return nil, fmt.Errorf("log key is not a verifier key")
	}
	raw, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != 1 {
		return nil, fmt.Errorf("log key is not Ed25519")
	}
	return ed25519.PublicKey(raw[1:]), nil
}
