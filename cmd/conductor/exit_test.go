package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"testing"

	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/stretchr/testify/assert"
)

func codeOf(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return strconv.Itoa(exit.ExitCode())
	}
	return "not started: " + err.Error()
}

func TestExitCode_SaysWhatKindOfTrouble(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		code   int
		silent bool
	}{
		"findings":        {verdictError{"x"}, 1, true},
		"usage":           {usageError{errors.New("x")}, 2, false},
		"anything else":   {errors.New("x"), 2, false},
		"network":         {fmt.Errorf("fetch: %w", &net.OpError{Op: "dial", Err: errors.New("refused")}), 3, false},
		"no repository":   {fmt.Errorf("fetch: %w", transport.ErrRepositoryNotFound), 3, false},
		"not let in":      {fmt.Errorf("fetch: %w", transport.ErrAuthenticationRequired), 3, false},
		"interrupted":     {fmt.Errorf("fetch: %w", context.Canceled), 3, false},
		"usage over net":  {usageError{&net.OpError{Op: "listen", Err: errors.New("in use")}}, 2, false},
		"verdict over it": {errors.Join(verdictError{"x"}, errors.New("y")), 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			code, silent := exitCode(test.err)
			assert.Equal(t, test.code, code)
			assert.Equal(t, test.silent, silent)
		})
	}
}

func TestPlain_KeepsControlCharactersFromTheTerminal(t *testing.T) {
	assert.Equal(t, "a\uFFFD[31mb\nc\td", plain("a\x1b[31mb\nc\td"))
}
