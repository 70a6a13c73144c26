package ledger

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
)

// DefaultOrigin names a log that nobody named.
const DefaultOrigin = "audit.conductor.local"

const (
	entryKeyFile = "entry.key"
	logKeyFile   = "log.key"
	metaFile     = "keys.json"
	// encryptedPEM is the form that cosign generate-key-pair writes.
	encryptedPEM = "ENCRYPTED SIGSTORE PRIVATE KEY"
)

var (
	// ErrKeyPermissions: a private key file that others on the machine can read.
	ErrKeyPermissions = errors.New("private key can be read by others")
	// ErrPassword: a private key that the password doesn't open.
	ErrPassword = errors.New("wrong password for the private key")
)

var originPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)

// Keys are what a ledger signs with. Both keys may live elsewhere: any
// crypto.Signer will do, so a KMS fits. Keys never print themselves.
type Keys struct {
	// Origin names the log in its checkpoints: a bare host name, because Sigstore
	// clients compare it with a URL's host.
	Origin string
	// ID names the entry key in keys/ and in bundles: conductor-2026-1.
	ID string
	// Created starts the key's validity.
	Created time.Time
	// Entry is ECDSA P-256: it signs Statements and commits.
	Entry crypto.Signer
	// Log is Ed25519: it signs checkpoints.
	Log crypto.Signer
}

// LogValue keeps private keys out of logs.
func (k *Keys) LogValue() slog.Value { return slog.StringValue(k.String()) }

// String names the keys without showing them.
func (k *Keys) String() string { return k.ID + " of " + k.Origin + " (REDACTED)" }

// GenerateKeys makes new keys for the log called origin ("" means
// DefaultOrigin), valid from now, out of rand.
func GenerateKeys(origin string, now time.Time, rand io.Reader) (*Keys, error) {
	if origin == "" {
		origin = DefaultOrigin
	}
	if err := validOrigin(origin); err != nil {
		return nil, err
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(rand, seed); err != nil {
		return nil, fmt.Errorf("generate log key: %w", err)
	}
	entryKey, err := generateP256(rand)
	if err != nil {
		return nil, fmt.Errorf("generate entry key: %w", err)
	}
	now = now.UTC().Truncate(time.Second)
	return &Keys{
		Origin:  origin,
		ID:      fmt.Sprintf("conductor-%d-1", now.Year()),
		Created: now,
		Entry:   entryKey,
		Log:     ed25519.NewKeyFromSeed(seed),
	}, nil
}

// generateP256 draws a private scalar by rejection (FIPS 186-5, A.2.2).
func generateP256(rand io.Reader) (*ecdsa.PrivateKey, error) {
	scalar := make([]byte, 32)
	for range 64 {
		if _, err := io.ReadFull(rand, scalar); err != nil {
			return nil, err
		}
		if k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar); err == nil {
			return k, nil
		}
	}
	return nil, errors.New("the random source gives no usable scalar")
}

func validOrigin(origin string) error {
	if !originPattern.MatchString(origin) {
		return fmt.Errorf("log origin %q is not a bare lower-case host name, such as audit.example.com", clip(origin, 80))
	}
	return nil
}

// keyMeta is the public part stored beside the private keys.
type keyMeta struct {
	Origin  string    `json:"origin"`
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
}

// SaveKeys writes the keys to dir, which it creates, as PEM files with mode 0600
// in the encrypted form that cosign also reads. Without a password they are not
// encrypted. It never overwrites a key.
func (k *Keys) SaveKeys(dir string, password []byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("save keys: %w", err)
	}
	for name, key := range map[string]crypto.Signer{entryKeyFile: k.Entry, logKeyFile: k.Log} {
		der, err := cryptoutils.MarshalPrivateKeyToDER(key)
		if err != nil {
			return fmt.Errorf("save %s: %w", name, err)
		}
		kind := string(cryptoutils.PrivateKeyPEMType)
		if len(password) > 0 {
			kind = encryptedPEM
			if der, err = encrypted.Encrypt(der, password); err != nil {
				return fmt.Errorf("encrypt %s: %w", name, err)
			}
		}
		if err := createFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})); err != nil {
			return fmt.Errorf("save %s: %w", name, err)
		}
	}
	meta, err := marshal(keyMeta{k.Origin, k.ID, k.Created})
	if err != nil {
		return err
	}
	return createFile(filepath.Join(dir, metaFile), meta)
}

func createFile(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// LoadKeys reads what SaveKeys wrote; keys that aren't encrypted need no
// password. A key file that group or others can read is refused with
// ErrKeyPermissions; a wrong password with ErrPassword.
func LoadKeys(dir string, password []byte) (*Keys, error) {
	raw, err := os.ReadFile(filepath.Join(dir, metaFile))
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	var meta keyMeta
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&meta); err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, metaFile), err)
	}
	if err := validOrigin(meta.Origin); err != nil {
		return nil, err
	}
	if !keyIDPattern.MatchString(meta.ID) {
		return nil, fmt.Errorf("read %s: key id %q", filepath.Join(dir, metaFile), clip(meta.ID, 80))
	}
	k := &Keys{Origin: meta.Origin, ID: meta.ID, Created: meta.Created.UTC()}
	entryKey, err := loadKey(filepath.Join(dir, entryKeyFile), password)
	if err != nil {
		return nil, err
	}
	ec, ok := entryKey.(*ecdsa.PrivateKey)
	if !ok || ec.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%s is not an ECDSA P-256 key", filepath.Join(dir, entryKeyFile))
	}
	logKey, err := loadKey(filepath.Join(dir, logKeyFile), password)
	if err != nil {
		return nil, err
	}
	ed, ok := logKey.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is not an Ed25519 key", filepath.Join(dir, logKeyFile))
	}
	k.Entry, k.Log = ec, ed
	return k, nil
}

func loadKey(name string, password []byte) (crypto.PrivateKey, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s has mode %04o; run chmod 600 %s", ErrKeyPermissions, name, info.Mode().Perm(), name)
	}
	if info.Size() > 64<<10 || info.Mode().Type()&fs.ModeType != 0 {
		return nil, fmt.Errorf("read key: %s is no key file", name)
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("read key: %s is not PEM", name)
	}
	if block.Type == string(cryptoutils.PrivateKeyPEMType) {
		key, err := cryptoutils.UnmarshalPEMToPrivateKey(raw, nil)
		if err != nil {
			return nil, fmt.Errorf("read key %s: %w", name, err)
		}
		return key, nil
	}
	if len(password) == 0 {
		return nil, fmt.Errorf("%w %s: it is encrypted and none was given", ErrPassword, name)
	}
	key, err := cryptoutils.UnmarshalPEMToPrivateKey(raw, cryptoutils.StaticPasswordFunc(password))
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrPassword, name, err)
	}
	return key, nil
}

// Public returns the public half.
func (k *Keys) Public() *Public {
	p := &Public{Origin: k.Origin, ID: k.ID, ValidFrom: k.Created}
	p.Entry, _ = k.Entry.Public().(*ecdsa.PublicKey)
	p.Log, _ = k.Log.Public().(ed25519.PublicKey)
	return p
}

// check refuses keys of the wrong kind.
func (k *Keys) check() error {
	if k == nil || k.Entry == nil || k.Log == nil {
		return errors.New("the ledger needs its keys")
	}
	p := k.Public()
	if p.Entry == nil || p.Entry.Curve != elliptic.P256() {
		return errors.New("the entry key is not ECDSA P-256")
	}
	if len(p.Log) != ed25519.PublicKeySize {
		return errors.New("the log key is not Ed25519")
	}
	if !keyIDPattern.MatchString(k.ID) {
		return fmt.Errorf("key id %q is not like conductor-2026-1", clip(k.ID, 80))
	}
	return validOrigin(k.Origin)
}

// logID is the Sigstore id of the log key: SHA-256 of the preimage of its C2SP
// key id, not truncated.
func (p *Public) logID() [32]byte {
	return sha256.Sum256(append([]byte(p.Origin+"\n\x01"), p.Log...))
}
