package modelsim_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/shared/modelsim"
)

func TestAnswer_Chat(t *testing.T) {
	t.Parallel()
	require.Equal(t, "How do I boil an egg,", modelsim.Answer("How do I boil an egg, please?", "In water.", "Name this conversation in at most six words."))
	require.Equal(t, "Eggs", modelsim.Answer("Eggs", "name this conversation"))
	require.Equal(t, "What would simulated question 1 be?\nWhat would simulated question 2 be?", modelsim.Answer("hi", "Suggest 2 short questions that I could ask next."))
	for _, other := range []string{"Name this conversationalist", "Please name this conversation", "Suggest two short questions"} {
		require.Contains(t, modelsim.Answer("hi", other), "This is a simulated answer", other)
	}
}
