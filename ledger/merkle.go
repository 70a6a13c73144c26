package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// C2SP tlog-tiles: tiles of 256 hashes, and bundles of 256 entries.
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
	// maxLeafBytes is the format's bound; ours have some 460.
	maxLeafBytes  = 1<<16 - 1
	maxTileBytes  = tileWidth * tlog.HashSize
	maxEntryBytes = tileWidth * 1024
)

// edge is the right edge of the Merkle tree: per tile level the hashes of the
// partial tile, and the leaves of the partial entry bundle. It is all that
// appending needs, and it grows with the logarithm of the size. Immutable.
type edge struct {
	size   int64
	tails  [][]tlog.Hash // by level; tails[l] are the hashes at height 8l
	leaves [][]byte
}

// ReadHashes serves the stored hashes that the edge covers (tlog.HashReader).
func (e *edge) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		h, err := e.hash(x)
		if err != nil {
			return nil, err
		}
		out[i] = h
	}
	return out, nil
}

func (e *edge) hash(index int64) (tlog.Hash, error) {
	level, n := tlog.SplitStoredHashIndex(index)
	t, within := level/tileHeight, level%tileHeight
	first := n << within // in hashes of height 8t
	if t < len(e.tails) && first>>tileHeight == e.size>>(tileHeight*(t+1)) {
		offset, count := int(first%tileWidth), 1<<within
		if offset+count <= len(e.tails[t]) {
			return subtree(e.tails[t][offset : offset+count]), nil
		}
	}
	return tlog.Hash{}, fmt.Errorf("hash %d of level %d is not on the right edge of a tree of %d", n, level, e.size)
}

func subtree(h []tlog.Hash) tlog.Hash {
	if len(h) == 1 {
		return h[0]
	}
	m := len(h) / 2
	return tlog.NodeHash(subtree(h[:m]), subtree(h[m:]))
}

// root is the tree's hash.
func (e *edge) root() (tlog.Hash, error) { return tlog.TreeHash(e.size, e) }

// grown is the tree after an append: the new edge, the hashes that proofs of the
// new leaves need, and the tile files to write.
type grown struct {
	*edge
	fresh map[int64]tlog.Hash
	old   *edge
}

// ReadHashes serves the new leaves' hashes and the old edge (tlog.HashReader).
func (g *grown) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if h, ok := g.fresh[x]; ok {
			out[i] = h
			continue
		}
		h, err := g.old.hash(x)
		if err != nil {
			return nil, err
		}
		out[i] = h
	}
	return out, nil
}

// grow appends leaves.
func (e *edge) grow(leaves [][]byte) (*grown, error) {
	g := &grown{fresh: make(map[int64]tlog.Hash, 2*len(leaves)), old: e}
	n := e.size
	for _, leaf := range leaves {
		if len(leaf) > maxLeafBytes {
			return nil, fmt.Errorf("leaf of %d bytes", len(leaf))
		}
		hashes, err := tlog.StoredHashes(n, leaf, g)
		if err != nil {
			return nil, fmt.Errorf("hash leaf %d: %w", n, err)
		}
		at := tlog.StoredHashIndex(0, n)
		for i, h := range hashes {
			g.fresh[at+int64(i)] = h
		}
		n++
	}
	next := &edge{size: n}
	for level := 0; n>>(tileHeight*level) > 0; level++ {
		width := n >> (tileHeight * level)
		var indexes []int64
		for i := width &^ (tileWidth - 1); i < width; i++ {
			indexes = append(indexes, tlog.StoredHashIndex(level*tileHeight, i))
		}
		tail, err := g.ReadHashes(indexes)
		if err != nil {
			return nil, err
		}
		next.tails = append(next.tails, tail)
	}
	all := append(append([][]byte(nil), e.leaves...), leaves...)
	next.leaves = all[int64(len(all))-n%tileWidth:]
	g.edge = next
	return g, nil
}

// files are the tiles and entry bundles that a tree grown from old must publish,
// and the folders of partial tiles that are now full.
func (g *grown) files(leaves [][]byte) (write map[string][]byte, remove []string, err error) {
	write = map[string][]byte{}
	for _, t := range tlog.NewTiles(tileHeight, g.old.size, g.size) {
		data, err := tlog.ReadTileData(t, g)
		if err != nil {
			return nil, nil, err
		}
		write[tilePath(t)] = data
		if t.W == tileWidth && g.old.size>>(tileHeight*t.L)%tileWidth != 0 && g.old.size>>(tileHeight*(t.L+1)) == t.N {
			remove = append(remove, tilePath(t)+".p")
		}
	}
	all := append(append([][]byte(nil), g.old.leaves...), leaves...)
	for n := g.old.size / tileWidth; len(all) > 0; n++ {
		count := min(len(all), tileWidth)
		t := tlog.Tile{H: tileHeight, L: -1, N: n, W: count}
		write[tilePath(t)] = entryBundle(all[:count])
		if count == tileWidth && n == g.old.size/tileWidth && g.old.size%tileWidth != 0 {
			remove = append(remove, tilePath(t)+".p")
		}
		all = all[count:]
	}
	return write, remove, nil
}

// tilePath is a tile's path in C2SP's form; x/mod's has the height in it.
func tilePath(t tlog.Tile) string {
	p := strings.TrimPrefix(t.Path(), "tile/"+strconv.Itoa(t.H)+"/")
	return path.Join("tile", strings.Replace(p, "data/", "entries/", 1))
}

// entryBundle concatenates leaves, each after its length in two bytes.
func entryBundle(leaves [][]byte) []byte {
	var b []byte
	for _, l := range leaves {
		b = binary.BigEndian.AppendUint16(b, uint16(len(l)))
		b = append(b, l...)
	}
	return b
}

// parseEntryBundle takes an entry bundle of count leaves apart.
func parseEntryBundle(b []byte, count int) ([][]byte, error) {
	leaves := make([][]byte, 0, count)
	for len(b) > 0 {
		if len(b) < 2 || len(leaves) == count {
			return nil, errors.New("entry bundle has another number of entries than its name says")
		}
		n := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+n {
			return nil, errors.New("entry bundle is cut short")
		}
		leaves = append(leaves, b[2:2+n:2+n])
		b = b[2+n:]
	}
	if len(leaves) != count {
		return nil, errors.New("entry bundle has another number of entries than its name says")
	}
	return leaves, nil
}

func parseTile(b []byte, count int) ([]tlog.Hash, error) {
	if len(b) != count*tlog.HashSize {
		return nil, fmt.Errorf("tile of %d bytes; %d hashes need %d", len(b), count, count*tlog.HashSize)
	}
	hashes := make([]tlog.Hash, count)
	for i := range hashes {
		hashes[i] = tlog.Hash(b[i*tlog.HashSize:])
	}
	return hashes, nil
}

// loadEdge reads the right edge of a tree of the given size through read, which
// gets a path and its largest size, and checks it against root.
func loadEdge(cp Checkpoint, read func(path string, max int) ([]byte, error)) (*edge, error) {
	e := &edge{size: cp.Size}
	for level := 0; cp.Size>>(tileHeight*level) > 0; level++ {
		width := cp.Size >> (tileHeight * level)
		var tail []tlog.Hash
		if partial := int(width % tileWidth); partial > 0 {
			t := tlog.Tile{H: tileHeight, L: level, N: width / tileWidth, W: partial}
			b, err := read(tilePath(t), maxTileBytes)
			if err != nil {
				return nil, err
			}
			if tail, err = parseTile(b, partial); err != nil {
				return nil, fmt.Errorf("%s: %w", tilePath(t), err)
			}
		}
		e.tails = append(e.tails, tail)
	}
	if partial := int(cp.Size % tileWidth); partial > 0 {
		t := tlog.Tile{H: tileHeight, L: -1, N: cp.Size / tileWidth, W: partial}
		b, err := read(tilePath(t), maxEntryBytes)
		if err != nil {
			return nil, err
		}
		if e.leaves, err = parseEntryBundle(b, partial); err != nil {
			return nil, fmt.Errorf("%s: %w", tilePath(t), err)
		}
		for i, l := range e.leaves {
			if tlog.RecordHash(l) != e.tails[0][i] {
				return nil, fmt.Errorf("%s: entry %d is not the one that the tile hashes", tilePath(t), i)
			}
		}
	}
	got, err := e.root()
	if err != nil {
		return nil, err
	}
	if got != cp.Root {
		return nil, errors.New("the tiles do not hash to the checkpoint's root")
	}
	return e, nil
}

// edgePaths are the files of a tree's right edge, for loadEdge.
func edgePaths(size int64) []string {
	var paths []string
	for level := 0; size>>(tileHeight*level) > 0; level++ {
		width := size >> (tileHeight * level)
		if partial := int(width % tileWidth); partial > 0 {
			paths = append(paths, tilePath(tlog.Tile{H: tileHeight, L: level, N: width / tileWidth, W: partial}))
		}
	}
	if partial := int(size % tileWidth); partial > 0 {
		paths = append(paths, tilePath(tlog.Tile{H: tileHeight, L: -1, N: size / tileWidth, W: partial}))
	}
	return paths
}
