package ledger

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/sha512"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// OpenSSH's PROTOCOL.sshsig, version 1, for the one namespace that git uses.
const (
	sshsigMagic     = "SSHSIG"
	sshsigPEM       = "SSH SIGNATURE"
	sshsigNamespace = "git"
	sshsigHash      = "sha512"
	maxSigBytes     = 8 << 10
	maxSignersBytes = 256 << 10
)

// sshsigBlob is the armored signature after the magic.
type sshsigBlob struct {
	Version   uint32
	PublicKey string
	Namespace string
	Reserved  string
	HashAlg   string
	Signature string
}

// sshsigSigned is what is signed after the magic.
type sshsigSigned struct {
	Namespace string
	Reserved  string
	HashAlg   string
	Hash      string
}

// GitSigner signs commits in SSH format; it is a go-git Signer.
type GitSigner struct {
	key  ssh.Signer
	rand io.Reader
}

// NewGitSigner returns a signer of commits with the entry key, which may be any
// ECDSA P-256 crypto.Signer.
func NewGitSigner(key crypto.Signer, rand io.Reader) (*GitSigner, error) {
	s, err := ssh.NewSignerFromSigner(key)
	if err != nil {
		return nil, fmt.Errorf("sign commits: %w", err)
	}
	return &GitSigner{key: s, rand: rand}, nil
}

// Sign returns the armored signature of a commit without its gpgsig header.
func (g *GitSigner) Sign(message io.Reader) ([]byte, error) {
	b, err := io.ReadAll(message)
	if err != nil {
		return nil, err
	}
	sig, err := g.key.Sign(g.rand, sshsigMessage(b))
	if err != nil {
		return nil, fmt.Errorf("sign commit: %w", err)
	}
	blob := append([]byte(sshsigMagic), ssh.Marshal(sshsigBlob{
		Version:   1,
		PublicKey: string(g.key.PublicKey().Marshal()),
		Namespace: sshsigNamespace,
		HashAlg:   sshsigHash,
		Signature: string(ssh.Marshal(sig)),
	})...)
	return pem.EncodeToMemory(&pem.Block{Type: sshsigPEM, Bytes: blob}), nil
}

func sshsigMessage(message []byte) []byte {
	sum := sha512.Sum512(message)
	return append([]byte(sshsigMagic), ssh.Marshal(sshsigSigned{
		Namespace: sshsigNamespace, HashAlg: sshsigHash, Hash: string(sum[:]),
	})...)
}

// verifySSHSig checks an armored signature of message and returns the key that
// made it. Whether that key may sign is allowedSigners' question.
func verifySSHSig(message, armored []byte) (ssh.PublicKey, error) {
	if len(armored) > maxSigBytes {
		return nil, fmt.Errorf("signature of %d bytes", len(armored))
	}
	block, rest := pem.Decode(armored)
	if block == nil || block.Type != sshsigPEM || len(bytes.TrimSpace(rest)) > 0 || len(block.Headers) > 0 {
		return nil, errors.New("not an SSH signature")
	}
	body, ok := bytes.CutPrefix(block.Bytes, []byte(sshsigMagic))
	if !ok {
		return nil, errors.New("not an SSH signature")
	}
	var blob sshsigBlob
	if err := ssh.Unmarshal(body, &blob); err != nil {
		return nil, fmt.Errorf("decode SSH signature: %w", err)
	}
	if blob.Version != 1 || blob.Namespace != sshsigNamespace || blob.HashAlg != sshsigHash || blob.Reserved != "" {
		return nil, fmt.Errorf("SSH signature of version %d, namespace %q, hash %q; want 1, git, sha512",
			blob.Version, clip(blob.Namespace, 40), clip(blob.HashAlg, 40))
	}
	key, err := ssh.ParsePublicKey([]byte(blob.PublicKey))
	if err != nil {
		return nil, fmt.Errorf("decode SSH signature's key: %w", err)
	}
	var sig ssh.Signature
	if err := ssh.Unmarshal([]byte(blob.Signature), &sig); err != nil {
		return nil, fmt.Errorf("decode SSH signature: %w", err)
	}
	if err := key.Verify(sshsigMessage(message), &sig); err != nil {
		return nil, fmt.Errorf("SSH signature does not verify: %w", err)
	}
	return key, nil
}

// signer is one line of an allowed_signers file. A zero time is no bound.
type signer struct {
	principal     string
	key           []byte // SSH wire form
	after, before time.Time
}

// parseAllowedSigners reads the form that ssh-keygen(1) describes, as far as the
// writer uses it: one plain principal, namespaces="git", a validity window.
// Certificates and patterns are refused rather than misread.
func parseAllowedSigners(b []byte) ([]signer, error) {
	if len(b) > maxSignersBytes {
		return nil, fmt.Errorf("allowed_signers of %d bytes; at most %d are allowed", len(b), maxSignersBytes)
	}
	var signers []signer
	sc := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(sc.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		s, err := parseSignerLine(line)
		if err != nil {
			return nil, fmt.Errorf("allowed_signers line %d: %w", n, err)
		}
		signers = append(signers, s)
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("read allowed_signers: %w", err)
	}
	return signers, nil
}

func parseSignerLine(line string) (signer, error) {
	var s signer
	principal, rest, ok := strings.Cut(line, " ")
	if !ok || strings.ContainsAny(principal, "*?!,\"") {
		return s, fmt.Errorf("principal %q is not one plain name", clip(principal, 80))
	}
	s.principal = principal
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(rest))
	if err != nil {
		return s, fmt.Errorf("read key: %w", err)
	}
	s.key = key.Marshal()
	git := false
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		value = strings.Trim(value, `"`)
		switch strings.ToLower(name) {
		case "namespaces":
			git = slices.Contains(strings.Split(value, ","), sshsigNamespace)
		case "valid-after":
			s.after, err = parseSignerTime(value)
		case "valid-before":
			s.before, err = parseSignerTime(value)
		default:
			return s, fmt.Errorf("option %q is not supported", clip(name, 40))
		}
		if err != nil {
			return s, err
		}
	}
	if !git {
		return s, errors.New(`option namespaces="git" is missing`)
	}
	return s, nil
}

// parseSignerTime reads YYYYMMDD[HHMM[SS]][Z], as UTC.
func parseSignerTime(v string) (time.Time, error) {
	digits := strings.TrimSuffix(v, "Z")
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(digits) == len(layout) {
			t, err := time.Parse(layout, digits)
			if err != nil {
				return t, fmt.Errorf("read time %q: %w", clip(v, 40), err)
			}
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("time %q is not YYYYMMDD or YYYYMMDDHHMMSS", clip(v, 40))
}

// allowed says whether key may sign for principal at t.
func allowed(signers []signer, key ssh.PublicKey, principal string, t time.Time) error {
	wire := key.Marshal()
	reason := errors.New("the signing key is not in keys/allowed_signers for " + clip(principal, 80))
	for _, s := range signers {
		if s.principal != principal || !bytes.Equal(s.key, wire) {
			continue
		}
		switch {
		case !s.after.IsZero() && t.Before(s.after):
			reason = fmt.Errorf("signed at %s, before the key was valid (%s)", t.UTC().Format(time.RFC3339), s.after.Format(time.RFC3339))
		case !s.before.IsZero() && !t.Before(s.before):
			reason = fmt.Errorf("signed at %s, after the key ended (%s)", t.UTC().Format(time.RFC3339), s.before.Format(time.RFC3339))
		default:
			return nil
		}
	}
	return reason
}
