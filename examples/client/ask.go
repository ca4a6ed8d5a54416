// Ask a server about pictures over gRPC: `go run . ADDRESS MODEL FILE...`.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"ask/serving"
)

var nodes = regexp.MustCompile(`\{\{.*?\}\} `) // TensorFlow's texts begin with {{function_node ...}}

// bestLabels sends the bytes of the files as they are, and returns the best label of each file with its score.
func bestLabels(connection *grpc.ClientConn, model string, files []string) ([]string, error) {
	pictures := &serving.TensorProto{
		Dtype:       serving.DataType_DT_STRING,
		TensorShape: &serving.TensorShapeProto{Dim: []*serving.TensorShapeProto_Dim{{Size: int64(len(files))}}},
	}
	for _, file := range files {
		contents, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		pictures.StringVal = append(pictures.StringVal, contents)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	answer, err := serving.NewPredictionServiceClient(connection).Predict(ctx, &serving.PredictRequest{
		ModelSpec: &serving.ModelSpec{Name: model},
		Inputs:    map[string]*serving.TensorProto{"image_bytes": pictures},
	})
	if err != nil {
		text := nodes.ReplaceAllString(status.Convert(err).Message(), "")
		return nil, errors.New(strings.Split(text, "\n")[0])
	}
	labels := answer.Outputs["classes"].GetStringVal() // [files, classes], row by row
	scores := answer.Outputs["scores"].GetFloatVal()
	classes := len(scores) / len(files)
	best := make([]string, len(files))
	for row := range files {
		top := row * classes
		for i := top; i < (row+1)*classes; i++ {
			if scores[i] > scores[top] {
				top = i
			}
		}
		best[row] = fmt.Sprintf("%s (%.2f)", labels[top], scores[top])
	}
	return best, nil
}

func ask(address, model string, files []string) error {
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	labels, err := bestLabels(connection, model, files)
	for row, label := range labels {
		fmt.Println(files[row], label)
	}
	return err
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: go run . ADDRESS MODEL FILE...")
		os.Exit(2)
	}
	if err := ask(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
