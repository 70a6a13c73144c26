package ledger

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"regexp"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/mod/sumdb/note"
)

var keyIDPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

// Public is the public half of a ledger's keys: what CL-0 and keys/ say.
type Public struct {
	Origin    string
	ID        string
	ValidFrom time.Time
	Entry     *ecdsa.PublicKey
	Log       ed25519.PublicKey
}

// Principal is who signs commits, as in allowed_signers and the committer's
// e-mail address.
func (p *Public) Principal() string { return "conductor@" + p.Origin }

// Fingerprint is the SHA-256 (hex) of the entry key's PKIX form, for people to
// compare out of band.
func (p *Public) Fingerprint() string {
	sum := sha256.Sum256(p.spki())
	return hex.EncodeToString(sum[:])
}

// LogVKey is the log key as a C2SP verifier key.
func (p *Public) LogVKey() string { return p.vkey() }

func (p *Public) spki() []byte { return mustSPKI(p.Entry) }
func (p *Public) vkey() string { return vkeyOf(p.Origin, p.Log) }

func (p *Public) entryPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: p.spki()}))
}

// sshKey is the entry key in SSH form.
func (p *Public) sshKey() ssh.PublicKey {
	k, err := ssh.NewPublicKey(p.Entry)
	if err != nil {
		panic(err)
	}
	return k
}

// files are the contents of keys/, by path.
func (p *Public) files() (map[string][]byte, error) {
	root, err := marshal(p.trustedRoot())
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		"keys/" + p.ID + ".pub":  []byte(p.entryPEM()),
		"keys/log.vkey":          []byte(p.vkey() + "\n"),
		"keys/log.pub":           pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: mustSPKI(p.Log)}),
		"keys/allowed_signers":   p.allowedSigners(),
		"keys/trusted_root.json": root,
	}, nil
}

// allowedSigners is the file that ssh-keygen and git read. The window starts the
// day before the key, because the format's times are in the reader's own zone
// (the "Z" suffix needs a newer OpenSSH than many have).
func (p *Public) allowedSigners() []byte {
	after := p.ValidFrom.UTC().AddDate(0, 0, -1).Format("20060102")
	return fmt.Appendf(nil, "%s namespaces=\"git\",valid-after=\"%s\" %s",
		p.Principal(), after, ssh.MarshalAuthorizedKey(p.sshKey()))
}

// trustedRoot is a Sigstore trusted root that names this log and nothing else.
func (p *Public) trustedRoot() trustedRoot {
	id := p.logID()
	return trustedRoot{
		MediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
		Tlogs: []trustedLog{{
			BaseURL:       "https://" + p.Origin,
			HashAlgorithm: "SHA2_256",
			PublicKey: trustedKey{
				RawBytes:   mustSPKI(p.Log),
				KeyDetails: "PKIX_ED25519",
				ValidFor:   validity{Start: p.ValidFrom.UTC().Format(time.RFC3339)},
			},
			LogID: LogID{id[:]},
		}},
	}
}

type trustedRoot struct {
	MediaType string       `json:"mediaType"`
	Tlogs     []trustedLog `json:"tlogs"`
}

type trustedLog struct {
	BaseURL       string     `json:"baseUrl"`
	HashAlgorithm string     `json:"hashAlgorithm"`
	PublicKey     trustedKey `json:"publicKey"`
	LogID         LogID      `json:"logId"`
}

type trustedKey struct {
	RawBytes   []byte   `json:"rawBytes"`
	KeyDetails string   `json:"keyDetails"`
	ValidFor   validity `json:"validFor"`
}

type validity struct {
	Start string `json:"start"`
}

// keyEvent is the Statement of CL-0.
func (p *Public) keyEvent(recordedAt time.Time) ([]byte, error) {
	files, err := p.files()
	if err != nil {
		return nil, err
	}
	st := Statement[KeyEvent]{
		Type:          statementType,
		PredicateType: KeyEventType,
		Predicate: KeyEvent{
			URI: EntryURI(0), Event: "init", Origin: p.Origin, Principal: p.Principal(), Format: formatVersion,
			KeyID: p.ID, EntryKey: p.entryPEM(), LogKey: p.vkey(), ValidFrom: p.ValidFrom, RecordedAt: recordedAt,
		},
	}
	for _, path := range sortedKeys(files) {
		sum := sha256.Sum256(files[path])
		st.Subject = append(st.Subject, Subject{Name: path, Digest: map[string]string{"sha256": hex.EncodeToString(sum[:])}})
	}
	return marshal(st)
}

// public reads the keys that a key event introduces. They are only claims until
// the entry's signatures verify with them.
func (e *KeyEvent) public() (*Public, error) {
	if err := validOrigin(e.Origin); err != nil {
		return nil, err
	}
	if !keyIDPattern.MatchString(e.KeyID) {
		return nil, fmt.Errorf("key id %q", clip(e.KeyID, 80))
	}
	p := &Public{Origin: e.Origin, ID: e.KeyID, ValidFrom: e.ValidFrom}
	var err error
	if p.Entry, err = ParseEntryKey([]byte(e.EntryKey)); err != nil {
		return nil, err
	}
	if p.Log, err = ParseLogKey(e.LogKey, e.Origin); err != nil {
		return nil, err
	}
	return p, nil
}

// ParseEntryKey reads a P-256 public key from PEM.
func ParseEntryKey(b []byte) (*ecdsa.PublicKey, error) {
	block, rest := pem.Decode(b)
	if block == nil || block.Type != "PUBLIC KEY" || len(rest) > 0 {
		return nil, fmt.Errorf("entry key is not one PEM public key")
	}
	k, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read entry key: %w", err)
	}
	ec, ok := k.(*ecdsa.PublicKey)
	if !ok || ec.Curve != elliptic.P256() {
		return nil, fmt.Errorf("entry key is not ECDSA P-256")
	}
	return ec, nil
}

// ParseLogKey reads an Ed25519 key from a C2SP verifier key named origin.
func ParseLogKey(vkey, origin string) (ed25519.PublicKey, error) {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("read log key: %w", err)
	}
	if v.Name() != origin {
		return nil, fmt.Errorf("log key is named %q, not %q", clip(v.Name(), 80), origin)
	}
	raw, err := vkeyBytes(vkey)
	if err != nil {
		return nil, err
	}
	if vkeyOf(origin, raw) != vkey {
		return nil, fmt.Errorf("log key is not in canonical form")
	}
	return raw, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
