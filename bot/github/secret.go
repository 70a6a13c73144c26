package github

import "log/slog"

const redacted = "REDACTED"

// Token is an installation's access token. Printing, logging and marshalling it
// gives REDACTED; only Reveal gives the token.
type Token string

// Reveal is the token itself.
func (t Token) Reveal() string { return string(t) }

func (Token) String() string               { return redacted }
func (Token) GoString() string             { return redacted }
func (Token) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// PrivateKey is an App's private key in PEM, as unprintable as a Token.
type PrivateKey []byte

func (PrivateKey) String() string               { return redacted }
func (PrivateKey) GoString() string             { return redacted }
func (PrivateKey) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (PrivateKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }
