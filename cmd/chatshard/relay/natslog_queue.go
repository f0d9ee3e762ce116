package relay

// queue is a double-ended queue of items. What waits in it is bounded by the
// log in bytes.
type queue struct {
	ring []item
	head int
	n    int
}

func (q *queue) len() int { return q.n }

func (q *queue) at(i int) *item { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

func (q *queue) grow() {
	ring := make([]item, max(64, 2*len(q.ring)))
	for i := range q.n {
		ring[i] = *q.at(i)
	}
	q.ring, q.head = ring, 0
}

func (q *queue) push(it item) {
	if q.n == len(q.ring) {
		q.grow()
	}
	q.n++
	*q.at(q.n - 1) = it
}

// unpop puts an item before all others.
func (q *queue) unpop(it item) {
	if q.n == len(q.ring) {
		q.grow()
	}
	q.head = (q.head - 1) & (len(q.ring) - 1)
	q.n++
	*q.at(0) = it
}

func (q *queue) pop() item {
	p := q.at(0)
	it := *p
	*p = item{}
	q.head = (q.head + 1) & (len(q.ring) - 1)
	if q.n--; q.n == 0 && len(q.ring) > 4096 {
		q.ring, q.head = nil, 0 // what an outage has grown
	}
	return it
}
