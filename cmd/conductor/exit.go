package main

import (
	"context"
	"errors"
	"net"
	"strings"
	"unicode"

	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/google/go-github/v60/github"
)

const (
	exitFindings    = 1
	exitUsage       = 2
	exitUnreachable = 3
)

// verdictError ends a command whose output already said what is wrong.
type verdictError struct{ what string }

func (e verdictError) Error() string { return e.what }

// usageError is a mistake in the command line or the configuration.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// exitCode classifies an error. silent is true when nothing needs to be printed.
func exitCode(err error) (code int, silent bool) {
	var verdict verdictError
	var usage usageError
	var network net.Error
	var answer *github.ErrorResponse
	switch {
	case errors.As(err, &verdict):
		return exitFindings, true
	case errors.As(err, &usage):
		return exitUsage, false
	case errors.Is(err, context.Canceled):
		return exitUnreachable, false
	case errors.As(err, &network), errors.As(err, &answer),
		errors.Is(err, transport.ErrRepositoryNotFound), errors.Is(err, transport.ErrAuthenticationRequired),
		errors.Is(err, transport.ErrAuthorizationFailed):
		return exitUnreachable, false
	}
	return exitUsage, false
}

// plain keeps control characters out of the terminal: an error may quote what a
// repository holds.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || !unicode.IsControl(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}
