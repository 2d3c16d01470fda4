package row

import "sluice/shared/completion"

const (
	pageBytes = 1 << 20 // of answers, about
	firstPage = 64
	maxPage   = 500
)

// Page is how many jobs to read at once so that their answers are about a megabyte, judged by those read before. The zero
// value is ready.
type Page struct{ size int } // of an answer lately, in bytes; 0: not known

// Limit is how many jobs to read next: 1 to 500.
func (p *Page) Limit() int {
	if p.size == 0 {
		return firstPage
	}
	return min(max(1, pageBytes/p.size), maxPage)
}

// Note takes account of jobs that were read. Answers that grow are believed at once, others by and by.
func (p *Page) Note(jobs []completion.Job) {
	if len(jobs) == 0 {
		return
	}
	sum := 0
	for i := range jobs {
		sum += 256 + len(jobs[i].Result)
	}
	size := sum / len(jobs)
	p.size = max(size, (3*p.size+size)/4)
}
