package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/memory"
)

// pack collects the new objects of one push.
type pack struct {
	st    *memory.Storage
	order []plumbing.Hash
	err   error
}

func newPack() *pack { return &pack{st: memory.NewStorage()} }

// add puts an object into the pack, once, and returns its hash.
func (p *pack) add(kind plumbing.ObjectType, data []byte) plumbing.Hash {
	o := &plumbing.MemoryObject{}
	o.SetType(kind)
	if _, err := o.Write(data); err != nil {
		p.err = err
	}
	h := o.Hash()
	if p.st.HasEncodedObject(h) == nil {
		return h
	}
	if _, err := p.st.SetEncodedObject(o); err != nil {
		p.err = err
	}
	p.order = append(p.order, h)
	return h
}

func (p *pack) encode() ([]byte, error) {
	if p.err != nil {
		return nil, p.err
	}
	var buf bytes.Buffer
	if _, err := packfile.NewEncoder(&buf, p.st, false).Encode(p.order, 0); err != nil {
		return nil, fmt.Errorf("encode pack: %w", err)
	}
	return buf.Bytes(), nil
}

// remember hands the pack's objects to the store's cache.
func (p *pack) remember(s *store) error {
	for _, h := range p.order {
		o, err := p.st.EncodedObject(plumbing.AnyObject, h)
		if err != nil {
			return err
		}
		b, err := readAll(o, maxFetchBytes)
		if err != nil {
			return err
		}
		s.remember(o.Type(), h, b)
	}
	return nil
}

// pushSession is one exchange with the server: it tells the tip, then takes a
// pack and moves the branch if the tip is still the one that was told.
type pushSession struct {
	s   transport.ReceivePackSession
	adv *packp.AdvRefs
	tip plumbing.Hash
}

func (e *endpoint) startPush(ctx context.Context) (*pushSession, error) {
	s, err := e.client.NewReceivePackSession(e.ep, e.auth)
	if err != nil {
		return nil, fmt.Errorf("reach audit repository: %w", err)
	}
	adv, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reach audit repository: %w", err), s.Close())
	}
	return &pushSession{s: s, adv: adv, tip: adv.References[branchRef]}, nil
}

// errUnanswered: the server took a push and said nothing of its fate.
var errUnanswered = errors.New("the server did not answer the push")

// send moves the branch from the told tip to next. Any error leaves open whether
// the push landed; the caller must read the tip again.
func (p *pushSession) send(ctx context.Context, next plumbing.Hash, objects []byte) error {
	req := packp.NewReferenceUpdateRequestFromCapabilities(p.adv.Capabilities)
	if p.adv.Capabilities.Supports(capability.Atomic) {
		if err := req.Capabilities.Set(capability.Atomic); err != nil {
			return err
		}
	}
	if p.adv.Capabilities.Supports(capability.Sideband64k) {
		if err := req.Capabilities.Set(capability.Sideband64k); err != nil {
			return err
		}
	}
	req.Commands = []*packp.Command{{Name: branchRef, Old: p.tip, New: next}}
	req.Packfile = io.NopCloser(bytes.NewReader(objects))
	report, err := p.s.ReceivePack(ctx, req)
	if err != nil {
		return fmt.Errorf("push to audit repository: %w", err)
	}
	if report == nil {
		// go-git returns nothing at all for an empty HTTP response.
		return errUnanswered
	}
	return report.Error()
}

func (p *pushSession) close() error { return p.s.Close() }

// demux unwraps a response that came over a side band.
func demux(caps *capability.List, r io.Reader) io.Reader {
	switch {
	case caps.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, r)
	case caps.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, r)
	}
	return r
}
