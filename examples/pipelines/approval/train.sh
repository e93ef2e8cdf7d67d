# Stands for a training program: what matters here is what surrounds it.
echo "training with alpha $ALPHA"
test "$ALPHA" != 0 || { echo "alpha must not be 0" >&2; exit 1; }
mkdir model
cp code/train.py model/
echo "$ALPHA" > model/alpha
echo "{\"metrics\": {\"accuracy\": $ALPHA}}" > report.json
