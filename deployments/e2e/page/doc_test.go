// Package page_test looks at the page that the API serves: that it is built from its sources, and what it does in a browser.
package page_test
