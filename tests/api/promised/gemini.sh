curl "https://your-domain.com/api/v1beta/models/gemini-2.5-pro:generateContent" \
-H "Content-Type: application/json" \
-H "x-goog-api-key: YOUR_API_KEY" \
-d '{
"contents": [
{
"parts": [{ "text": "Explain quantum entanglement simply." }]
}
]
}'
