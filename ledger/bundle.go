package ledger

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"reflect"
	"strconv"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	bundleMediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"
	payloadType     = "application/vnd.in-toto+json"
	// maxBundleBytes holds the largest Statement in base64, the leaf and a proof.
	maxBundleBytes = 2 << 20
)

// Bundle is a Sigstore bundle v0.3: the signed Statement of one entry with the
// proof that the entry is in this log. Receivers parse it strictly, so it has no
// field of ours.
type Bundle struct {
	MediaType            string       `json:"mediaType"`
	VerificationMaterial Verification `json:"verificationMaterial"`
	Envelope             Envelope     `json:"dsseEnvelope"`
}

// Verification says which key signed the envelope and where the log has it.
type Verification struct {
	PublicKey   KeyHint     `json:"publicKey"`
	TlogEntries []TlogEntry `json:"tlogEntries"`
}

// KeyHint names a key of keys/ without its ".pub".
type KeyHint struct {
	Hint string `json:"hint"`
}

// TlogEntry is a transparency log entry in protobuf's JSON form: 64-bit numbers
// are strings, bytes are base64.
type TlogEntry struct {
	LogIndex          string         `json:"logIndex"`
	LogID             LogID          `json:"logId"`
	KindVersion       KindVersion    `json:"kindVersion"`
	InclusionProof    InclusionProof `json:"inclusionProof"`
	CanonicalizedBody []byte         `json:"canonicalizedBody"`
}

// LogID is the SHA-256 of the log key's C2SP key id preimage, all 32 bytes.
type LogID struct {
	KeyID []byte `json:"keyId"`
}

// KindVersion is the type of the leaf.
type KindVersion struct {
	Kind    string `json:"kind"`
	Version string `json:"version"`
}

// InclusionProof proves a leaf against a checkpoint of this log (RFC 6962).
type InclusionProof struct {
	LogIndex   string     `json:"logIndex"`
	RootHash   []byte     `json:"rootHash"`
	TreeSize   string     `json:"treeSize"`
	Hashes     [][]byte   `json:"hashes"`
	Checkpoint SignedNote `json:"checkpoint"`
}

// SignedNote is a C2SP signed note.
type SignedNote struct {
	Envelope string `json:"envelope"`
}

// Envelope is a DSSE v1 envelope. Sigstore wants exactly one signature.
type Envelope struct {
	Payload     []byte      `json:"payload"`
	PayloadType string      `json:"payloadType"`
	Signatures  []Signature `json:"signatures"`
}

// Signature is an ECDSA P-256 signature (ASN.1 DER) over the envelope's PAE.
type Signature struct {
	Sig []byte `json:"sig"`
}

// pae is the DSSE pre-authentication encoding of a Statement.
func pae(statement []byte) []byte { return dsse.PAE(payloadType, statement) }

// signStatement signs the PAE of a Statement with the entry key.
func signStatement(key crypto.Signer, rand io.Reader, statement []byte) ([]byte, error) {
	digest := sha256.Sum256(pae(statement))
	return key.Sign(rand, digest[:], crypto.SHA256)
}

// leafOf is the log's leaf: the canonical (RFC 8785) Rekor v2 hashedrekord
// 0.0.2 body of the signature. It holds hashes only, so evidence may be redacted
// and every proof still holds. spki is the entry key as PKIX DER.
func leafOf(statement, sig, spki []byte) []byte {
	digest := sha256.Sum256(pae(statement))
	b64 := base64.StdEncoding.EncodeToString
	return []byte(`{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"` +
		b64(digest[:]) + `"},"signature":{"content":"` + b64(sig) +
		`","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{"rawBytes":"` + b64(spki) + `"}}}}}}`)
}

// newBundle gives the bundle of leaf n, proven in the tree of the checkpoint.
func newBundle(p *Public, statement, sig []byte, n int64, proof tlog.RecordProof, cp Checkpoint, note []byte) Bundle {
	hashes := make([][]byte, len(proof))
	for i := range proof {
		hashes[i] = proof[i][:]
	}
	logID := p.logID()
	return Bundle{
		MediaType: bundleMediaType,
		VerificationMaterial: Verification{
			PublicKey: KeyHint{p.ID},
			TlogEntries: []TlogEntry{{
				LogIndex:    strconv.FormatInt(n, 10),
				LogID:       LogID{logID[:]},
				KindVersion: KindVersion{"hashedrekord", "0.0.2"},
				InclusionProof: InclusionProof{
					LogIndex:   strconv.FormatInt(n, 10),
					RootHash:   cp.Root[:],
					TreeSize:   strconv.FormatInt(cp.Size, 10),
					Hashes:     hashes,
					Checkpoint: SignedNote{string(note)},
				},
				CanonicalizedBody: leafOf(statement, sig, p.spki()),
			}},
		},
		Envelope: Envelope{Payload: statement, PayloadType: payloadType, Signatures: []Signature{{sig}}},
	}
}

// ParseBundle decodes a bundle that this package wrote; any other spelling of
// the same bundle is refused, so that one flipped byte is seen.
func ParseBundle(b []byte) (*Bundle, error) {
	if len(b) > maxBundleBytes {
		return nil, fmt.Errorf("bundle of %d bytes; at most %d are allowed", len(b), maxBundleBytes)
	}
	var bd Bundle
	if err := unmarshalCanonical(b, &bd); err != nil {
		return nil, fmt.Errorf("decode bundle: %w", err)
	}
	switch {
	case bd.MediaType != bundleMediaType:
		return nil, fmt.Errorf("bundle media type %q", clip(bd.MediaType, 80))
	case len(bd.Envelope.Signatures) != 1:
		return nil, fmt.Errorf("bundle with %d signatures; exactly one is allowed", len(bd.Envelope.Signatures))
	case bd.Envelope.PayloadType != payloadType:
		return nil, fmt.Errorf("bundle payload type %q", clip(bd.Envelope.PayloadType, 80))
	case len(bd.VerificationMaterial.TlogEntries) != 1:
		return nil, fmt.Errorf("bundle with %d log entries; exactly one is allowed", len(bd.VerificationMaterial.TlogEntries))
	}
	return &bd, nil
}

// verifiedBundle is what checkBundle proved.
type verifiedBundle struct {
	leaf []byte
	// through is the size of the tree that the bundle's proof is for: the entry's
	// batch ends with entry through-1.
	through int64
	root    tlog.Hash
	note    string
}

// checkBundle verifies that the bundle signs exactly the statement, with the
// keys of p, and proves it as leaf n in a checkpoint of this log, which open
// verifies.
func checkBundle(p *Public, bd *Bundle, statement []byte, n int64, open func(note string) (Checkpoint, error)) (verifiedBundle, error) {
	var v verifiedBundle
	te := bd.VerificationMaterial.TlogEntries[0]
	sig := bd.Envelope.Signatures[0].Sig
	if !bytes.Equal(bd.Envelope.Payload, statement) {
		return v, fmt.Errorf("the signed payload is not the .json file")
	}
	digest := sha256.Sum256(pae(statement))
	if !ecdsa.VerifyASN1(p.Entry, digest[:], sig) {
		return v, fmt.Errorf("the envelope's signature does not verify with %s", p.ID)
	}
	cp, err := open(te.InclusionProof.Checkpoint.Envelope)
	if err != nil {
		return v, err
	}
	if n >= cp.Size {
		return v, fmt.Errorf("the proof's checkpoint has %d entries and cannot include %s", cp.Size, EntryName(n))
	}
	proof := make(tlog.RecordProof, len(te.InclusionProof.Hashes))
	for i, h := range te.InclusionProof.Hashes {
		if len(h) != tlog.HashSize {
			return v, fmt.Errorf("hash %d of the inclusion proof has %d bytes", i, len(h))
		}
		proof[i] = tlog.Hash(h)
	}
	v.leaf = leafOf(statement, sig, p.spki())
	if err := tlog.CheckRecord(proof, cp.Size, cp.Root, n, tlog.RecordHash(v.leaf)); err != nil {
		return v, fmt.Errorf("the inclusion proof does not hold: %w", err)
	}
	if !reflect.DeepEqual(*bd, newBundle(p, statement, sig, n, proof, cp, []byte(te.InclusionProof.Checkpoint.Envelope))) {
		return v, fmt.Errorf("the bundle's log entry is not that of %s", EntryName(n))
	}
	v.through, v.root, v.note = cp.Size, cp.Root, te.InclusionProof.Checkpoint.Envelope
	return v, nil
}

// mustSPKI encodes a key that was checked to be encodable.
func mustSPKI(pub crypto.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		panic(err)
	}
	return der
}
