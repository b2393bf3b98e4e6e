curl https://your-domain.com/api/v1/images/generations \
-H "Content-Type: application/json" \
-H "Authorization: Bearer YOUR_API_KEY" \
-d '{
"model": "dall-e-3",
"prompt": "A photorealistic cat sitting on a rooftop at sunset",
"size": "1024x1024",
"quality": "standard",
"n": 1
}'
