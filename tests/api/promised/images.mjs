import OpenAI from "openai";
const client = new OpenAI({
apiKey: "YOUR_API_KEY",
baseURL: "https://your-domain.com/api/v1",
});
const response = await client.images.generate({
model: "dall-e-3",
prompt: "A photorealistic cat sitting on a rooftop at sunset",
size: "1024x1024",
quality: "standard",
n: 1,
});
console.log(response.data[0].url);
