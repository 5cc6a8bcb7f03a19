package extents

// Range is a run of bytes.
type Range struct {
	Offset int64
	Length int64
}

// End is the offset behind the range's last byte.
func (r Range) End() int64 { return r.Offset + r.Length }

// Allocated returns the ranges that hold data, joined where they touch.
func Allocated(extents []Extent) []Range {
	var ranges []Range
	for _, extent := range extents {
		ranges = appendJoined(ranges, extent.Offset, extent.End())
	}
	return ranges
}

// Delta returns the ranges in which target can differ from base. Neither file
// may be written after its extents were mapped.
//
// A byte is the same in both if it has the same physical place in both, or no
// written place in either. Everything else is listed, so equal data written
// twice is listed too: the list may be too long and is never too short.
func Delta(base, target []Extent) []Range {
	var ranges []Range
	var b, t int
	for position := int64(0); ; {
		b = skipBefore(base, b, position)
		t = skipBefore(target, t, position)
		if b == len(base) && t == len(target) {
			return ranges
		}
		position = max(position, nextData(base, b, target, t))
		end := nextEdge(base, b, target, t, position)
		if !shared(base, b, target, t, position) {
			ranges = appendJoined(ranges, position, end)
		}
		position = end
	}
}

// skipBefore moves an index past the extents that end at or before a position.
func skipBefore(extents []Extent, index int, position int64) int {
	for index < len(extents) && extents[index].End() <= position {
		index++
	}
	return index
}

// nextData is where the first of the two current extents begins.
func nextData(base []Extent, b int, target []Extent, t int) int64 {
	if b == len(base) {
		return target[t].Offset
	}
	if t == len(target) {
		return base[b].Offset
	}
	return min(base[b].Offset, target[t].Offset)
}

// nextEdge is the first offset after position at which either file changes
// from one extent to another, or between data and none.
func nextEdge(base []Extent, b int, target []Extent, t int, position int64) int64 {
	edge := int64(-1)
	for _, candidate := range append(edges(base, b), edges(target, t)...) {
		if candidate > position && (edge < 0 || candidate < edge) {
			edge = candidate
		}
	}
	return edge
}

func edges(extents []Extent, index int) []int64 {
	if index == len(extents) {
		return nil
	}
	return []int64{extents[index].Offset, extents[index].End()}
}

// shared tells whether both files have the data at position in one place.
func shared(base []Extent, b int, target []Extent, t int, position int64) bool {
	if b == len(base) || t == len(target) {
		return false
	}
	left, right := base[b], target[t]
	if position < left.Offset || position < right.Offset || !left.Known || !right.Known {
		return false
	}
	return left.Physical-left.Offset == right.Physical-right.Offset
}

// appendJoined adds [start, end) and joins it with the last range if they touch.
func appendJoined(ranges []Range, start, end int64) []Range {
	if n := len(ranges); n > 0 && ranges[n-1].End() == start {
		ranges[n-1].Length += end - start
		return ranges
	}
	return append(ranges, Range{Offset: start, Length: end - start})
}
